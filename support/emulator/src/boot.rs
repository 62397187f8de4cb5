//! Boots a program in QEMU with an image in its flash: over files to the end, or over the emulated serial port for a conversation.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

use latch_parts::boards::Board;

use crate::toolchain::Missing;

/// How a run may go.
#[derive(Clone, Debug)]
pub struct Options {
    /// A plugin that watches the run.
    pub plugin: Option<Plugin>,
    /// QEMU is ended after this time.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { plugin: None, timeout: Duration::from_secs(60) }
    }
}

/// A plugin of QEMU's TCG. Time then follows the executed instructions, so that a run is the same each time.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// The library.
    pub library: PathBuf,
    /// Its arguments, as `stack=20000000:20004000`. The argument `out=` is added: it names the file of [`Outcome::plugin`].
    pub arguments: Vec<String>,
}

/// What a run gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The program's exit status.
    pub status: i32,
    /// What it wrote to the file `output`; empty when it wrote none.
    pub output: Vec<u8>,
    /// What QEMU printed.
    pub log: String,
    /// What the plugin wrote; empty without one.
    pub plugin: String,
}

/// Runs a program to its end in a folder of its own, where the file `input` has `input` and the program writes `output`. Without an
/// image the slot holds zeros.
///
/// # Errors
/// When QEMU is not installed or refuses the program, when the image is larger than the board's slot, or when the program does not end
/// in time. A status other than 0 is no error here.
pub fn boot(board: &Board, elf: &Path, image: Option<&Path>, input: &[u8], options: &Options) -> Result<Outcome> {
    let folder = Folder::new(board, image)?;
    fs::write(folder.path("input"), input).context("cannot write the input")?;
    let mut process = folder.qemu(board, elf)?;
    process.args(["-serial", "none"]);
    if let Some(plugin) = &options.plugin {
        let mut argument = plugin_argument(&plugin.library)? + ",out=plugin";
        for more in &plugin.arguments {
            argument = argument + "," + more;
        }
        process.args(["-icount", "shift=6", "-plugin", &argument]);
    }
    let log = File::create(folder.path("log"))?;
    process.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut guard = Guard(start(board, &mut process)?);
    let end = Instant::now() + options.timeout;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = guard.0.try_wait()? {
            break status;
        }
        if Instant::now() >= end {
            bail!(
                "{} on {} did not end within {} s; QEMU was ended{}",
                elf.display(),
                board.name,
                options.timeout.as_secs_f32(),
                said(&folder.text("log"))
            );
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    let log = folder.text("log");
    let Some(status) = status.code() else { bail!("QEMU ended by a signal ({status}){}", said(&log)) };
    // QEMU's own refusals come before the program's first instruction, which alone makes an output.
    if status == 1 && !log.is_empty() && !folder.path("output").exists() {
        bail!("QEMU could not run {} on {}{}", elf.display(), board.name, said(&log));
    }
    let output = fs::read(folder.path("output")).unwrap_or_default();
    Ok(Outcome { status, output, log, plugin: folder.text("plugin") })
}

/// Starts a program whose port is the serial port, and gives that. `timeout` is how long a read waits.
///
/// # Errors
/// When QEMU is not installed, or the image is larger than the board's slot.
pub fn boot_serial(board: &Board, elf: &Path, image: Option<&Path>, timeout: Duration) -> Result<Serial> {
    let folder = Folder::new(board, image)?;
    let mut process = folder.qemu(board, elf)?;
    process.args(["-serial", "stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    process.stderr(File::create(folder.path("log"))?);
    let mut child = start(board, &mut process)?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let guard = Guard(child);
    let (input, mut output) = input.zip(output).ok_or_else(|| anyhow!("QEMU has no pipes"))?;
    let (sender, receiver) = sync_channel(64);
    thread::spawn(move || {
        let mut buffer = [0; 256];
        // Ends with QEMU, or with the `Serial` that listens.
        while let Ok(count) = output.read(&mut buffer) {
            if count == 0 || sender.send(buffer.get(..count).unwrap_or(&[]).to_vec()).is_err() {
                break;
            }
        }
    });
    Ok(Serial { _guard: guard, folder, input, receiver, timeout, pending: Vec::new() })
}

/// The serial port of a running board. QEMU ends when this value does.
#[derive(Debug)]
pub struct Serial {
    _guard: Guard,
    folder: Folder,
    input: ChildStdin,
    receiver: Receiver<Vec<u8>>,
    timeout: Duration,
    pending: Vec<u8>,
}

impl Serial {
    /// Sets how long a read waits.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// What QEMU has printed.
    pub fn log(&self) -> String {
        self.folder.text("log")
    }
}

impl Read for Serial {
    /// Gives what has come, after waiting for at least one byte; 0 when QEMU has ended, [`ErrorKind::TimedOut`] when nothing came in time.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pending.is_empty() {
            match self.receiver.recv_timeout(self.timeout) {
                Ok(bytes) => self.pending = bytes,
                Err(RecvTimeoutError::Timeout) => return Err(ErrorKind::TimedOut.into()),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
        let count = (&*self.pending).read(buffer)?;
        self.pending.drain(..count);
        Ok(count)
    }
}

impl Write for Serial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.input.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input.flush()
    }
}

/// A running QEMU, which ends with this value.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Of a child that has ended already both do nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "QEMU {}", self.0.id())
    }
}

/// QEMU's working folder, gone with this value.
#[derive(Debug)]
struct Folder(TempDir);

impl Folder {
    /// With the image in it.
    fn new(board: &Board, image: Option<&Path>) -> Result<Self> {
        let folder = Folder(tempfile::tempdir().context("cannot make a temporary folder")?);
        let Some(image) = image else { return Ok(folder) };
        let bytes = fs::copy(image, folder.path("image"))
            .with_context(|| format!("cannot read the image {}", image.display()))?;
        let slot = u64::from(board.slot_bytes());
        if bytes > slot {
            bail!("{} has {bytes} bytes, and the slot of {} has {slot}", image.display(), board.name);
        }
        Ok(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read(self.path(name)).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// QEMU with the board, the program and the image in this folder; ports are still to be said.
    fn qemu(&self, board: &Board, elf: &Path) -> Result<Process> {
        let elf = fs::canonicalize(elf).with_context(|| format!("cannot read {}", elf.display()))?;
        if !is_program(board.qemu) {
            let problem = format!("{} is not installed", board.qemu);
            let remedy = "run `cargo xtask setup`, or `latch doctor`, which says what else is missing".to_owned();
            return Err(Missing { problem, remedy }.into());
        }
        // Of util-linux: the kernel ends QEMU when this program ends, however that comes about.
        let mut process = if is_program("setpriv") {
            let mut process = Process::new("setpriv");
            process.args(["--pdeathsig", "KILL", "--", board.qemu]);
            process
        } else {
            Process::new(board.qemu)
        };
        process.current_dir(self.0.path());
        process.args(["-M", board.machine, "-display", "none", "-monitor", "none", "-parallel", "none"]);
        if board.target.starts_with("riscv") {
            process.args(["-bios", "none"]);
        }
        process.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(elf);
        if self.path("image").exists() {
            let loader = format!("loader,file=image,addr={:#x},force-raw=on", board.image_address);
            process.args(["-device", &loader]);
        }
        Ok(process)
    }
}

fn start(board: &Board, process: &mut Process) -> Result<Child> {
    process.spawn().with_context(|| format!("cannot start {}", board.qemu))
}

/// True when there is a program of that name, which may be a path.
fn is_program(name: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    Path::new(name).components().count() > 1 && Path::new(name).is_file()
        || std::env::split_paths(&folders).any(|folder| folder.join(name).is_file())
}

/// QEMU's options divide at commas; a comma that is meant is written twice.
fn plugin_argument(library: &Path) -> Result<String> {
    let library = fs::canonicalize(library).with_context(|| format!("cannot read the plugin {}", library.display()))?;
    Ok(format!("file={}", library.display().to_string().replace(',', ",,")))
}

/// What QEMU said, for the end of a message.
fn said(log: &str) -> String {
    if log.trim().is_empty() { String::new() } else { format!(":\n{}", log.trim_end()) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use latch_parts::boards::BOARDS;

    /// A folder with a program and an image, and a board whose programs are shell scripts.
    fn bench(script: &str) -> (TempDir, Board) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("elf"), script).expect("a program");
        fs::write(folder.path().join("image"), b"LTCH").expect("an image");
        (folder, Board { qemu: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shell-as-qemu"), ..BOARDS[0] })
    }

    fn run((folder, board): &(TempDir, Board), timeout: u64) -> Result<Outcome> {
        let options = Options { timeout: Duration::from_millis(timeout), ..Options::default() };
        boot(board, &folder.path().join("elf"), Some(&folder.path().join("image")), b"text", &options)
    }

    #[test]
    fn the_program_finds_input_and_image_beside_it_and_its_output_and_status_come_back() {
        let outcome = run(&bench("cat input image > output; echo said; exit 3"), 10_000).expect("it ran");
        assert_eq!((outcome.status, &*outcome.output, &*outcome.log), (3, &b"textLTCH"[..], "said\n"));
    }

    #[test]
    fn a_program_that_does_not_end_is_ended_in_time_and_nothing_of_it_stays() {
        let bench = bench("echo stuck; echo $$ > \"$(dirname \"$0\")/id\"; exec sleep 1000");
        let start = Instant::now();
        let message = run(&bench, 500).expect_err("it never ends").to_string();
        assert!(start.elapsed() < Duration::from_secs(100));
        assert!(message.contains("did not end within 0.5 s") && message.contains("stuck"), "{message}");
        let id = fs::read_to_string(bench.0.path().join("id")).expect("it has started");
        assert!(!Path::new("/proc").join(id.trim()).exists(), "process {id} is still there");
    }

    #[test]
    fn a_refusal_of_qemu_is_shown() {
        let message = run(&bench("echo no such machine >&2; exit 1"), 10_000).expect_err("refused").to_string();
        assert!(message.contains("could not run") && message.ends_with("no such machine"), "{message}");
    }

    #[test]
    fn a_qemu_that_is_not_installed_is_named_with_the_command_that_installs_it() {
        let mut bench = bench("");
        bench.1.qemu = "qemu-system-nothing";
        let message = run(&bench, 10_000).expect_err("there is none").to_string();
        assert!(message.starts_with("qemu-system-nothing is not installed; run `cargo xtask setup`"), "{message}");
    }

    #[test]
    fn an_image_larger_than_the_slot_is_refused_with_both_sizes() {
        let mut bench = bench("exit 0");
        bench.1.image_address = bench.1.flash.end() - 3;
        let message = run(&bench, 10_000).expect_err("too large").to_string();
        assert!(message.ends_with("image has 4 bytes, and the slot of microbit has 3"), "{message}");
    }

    #[test]
    fn a_conversation_comes_back_byte_by_byte_and_a_silent_board_times_out() {
        let (folder, board) = bench("head -c 3; exec sleep 1000");
        let path = |name: &str| folder.path().join(name);
        let mut serial =
            boot_serial(&board, &path("elf"), Some(&path("image")), Duration::from_secs(100)).expect("it has started");
        serial.write_all(b"abc").expect("the pipe is open");
        let mut answer = [0; 3];
        for byte in answer.chunks_mut(1) {
            serial.read_exact(byte).expect("it answers");
        }
        assert_eq!(&answer, b"abc");
        serial.set_timeout(Duration::from_millis(10));
        assert_eq!(serial.read(&mut answer).expect_err("it is silent").kind(), ErrorKind::TimedOut);
    }
}
