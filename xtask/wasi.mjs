// Runs a program that was compiled for wasm32-wasip1 under Node, 18.17 or later: `node --no-warnings xtask/wasi.mjs PROGRAM.wasm [ARGUMENT..]`.
//
// The program sees its arguments, the environment, the three standard streams and, as its root, the repository. Its exit code is this
// program's; a trap, which is what a panic ends in, is 101, as it is of a program of the host.

import { readFile } from "node:fs/promises";
import { argv, env, exit, stderr } from "node:process";
import { fileURLToPath } from "node:url";
import { WASI } from "node:wasi";

const [program, ...rest] = argv.slice(2);
if (program === undefined) {
    stderr.write("usage: node --no-warnings xtask/wasi.mjs PROGRAM.wasm [ARGUMENT..]\n");
    exit(2);
}

let code;
try {
    const wasi = new WASI({
        version: "preview1",
        args: [program, ...rest],
        env,
        preopens: { "/": fileURLToPath(new URL("..", import.meta.url)) },
        // Before Node 20 the exit code would be this process's at once; since then it is returned, and this is the default.
        returnOnExit: true,
    });
    const module = await WebAssembly.compile(await readFile(program));
    const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: wasi.wasiImport });
    code = wasi.start(instance);
} catch (error) {
    stderr.write(`${program}: ${error instanceof WebAssembly.RuntimeError ? "trap: " : ""}${error.message}\n`);
    code = error instanceof WebAssembly.RuntimeError ? 101 : 1;
}
exit(code);
