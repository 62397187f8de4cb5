//! What kind of instruction an opcode is, as far as its time depends on it.
//!
//! Knows Thumb with the DSP, floating-point and Helium extensions, and RV32IMAC. Kinds, not instructions: an addition and a shift
//! are one kind, because every core here takes the same time for both. What it does not know is [`Kind::Other`].

pub use latch_parts::cores::Kind;

/// The kind of a Thumb instruction of `size` bytes. A wide one has its first halfword in the low half.
pub fn thumb(opcode: u32, size: u8) -> Kind {
    if size == 2 { narrow(opcode as u16) } else { wide(opcode as u16, (opcode >> 16) as u16) }
}

fn narrow(half: u16) -> Kind {
    let load = half & 0x0800 != 0;
    let count = (half & 0xff).count_ones() as u8;
    match half >> 10 {
        0b01_0000 if half >> 6 & 15 == 13 => Kind::Multiply,
        0b01_0001 if half & 0x0300 == 0x0300 => Kind::BranchIndirect,
        0b01_0010 | 0b01_0011 => Kind::Load(1),
        // Register offsets: the first three of eight store.
        0b01_0100..=0b01_0111 if half >> 9 & 7 < 3 => Kind::Store(1),
        0b01_0100..=0b01_0111 => Kind::Load(1),
        0b01_1000..=0b10_0111 => {
            if load {
                Kind::Load(1)
            } else {
                Kind::Store(1)
            }
        }
        0b10_1100..=0b10_1111 => match half >> 8 & 15 {
            1 | 3 | 9 | 11 => Kind::Branch, // cbz, cbnz
            4 => Kind::Store(count),
            5 => Kind::Store(count + 1),
            12 => Kind::Load(count),
            13 => Kind::Load(count + 1),
            6 | 14 => Kind::System, // cps, bkpt
            _ => Kind::Alu,
        },
        0b11_0000..=0b11_0011 => {
            if load {
                Kind::Load(count)
            } else {
                Kind::Store(count)
            }
        }
        0b11_0100..=0b11_0111 if half >> 9 & 7 == 7 => Kind::System, // svc, udf
        0b11_0100..=0b11_1001 => Kind::Branch,
        _ => Kind::Alu,
    }
}

fn wide(first: u16, second: u16) -> Kind {
    let load = first & 0x10 != 0;
    let words = second.count_ones() as u8;
    let single = |words| if load { Kind::Load(words) } else { Kind::Store(words) };
    match (first >> 11 & 3, first >> 4 & 0x7f) {
        (_, op) if op & 0x40 != 0 && first & 0x0c00 == 0x0c00 => coprocessor(first, second),
        (1, op) if op & 0x64 == 0 => {
            if load {
                Kind::Load(words)
            } else {
                Kind::Store(words)
            }
        }
        (1, op) if op & 0x64 == 4 => match (first & 0x0120, second & 0xfff0) {
            _ if first == 0xe97f => Kind::System, // sg
            (0, _) if first & 0x00f0 == 0x00d0 && second & 0x00e0 == 0 => Kind::BranchIndirect, // tbb, tbh
            (0, _) => single(1),                  // exclusive and ordered accesses
            _ => single(2),
        },
        (1, op) if op & 0x60 == 0x20 => Kind::Alu,
        (2, _) if second & 0x8000 == 0 => Kind::Alu,
        (2, _) => match second & 0x5000 {
            0x5000 => Kind::Call,
            0x4000 if second & 0x2000 == 0 => Kind::LoopEnd, // le, letp, wls, wlstp
            0x4000 => Kind::Alu,                             // dls, dlstp, lctp
            0x1000 => Kind::Branch,
            _ if first & 0x0380 != 0x0380 => Kind::Branch, // with a condition
            _ if first & 0xfff0 == 0xf3a0 => Kind::Alu,    // hints
            _ => Kind::System,
        },
        (3, op) if op & 0x71 == 0 => Kind::Store(1),
        (3, op) if op & 0x60 == 0 => Kind::Load(1),
        (3, op) if op & 0x70 == 0x20 => Kind::Alu,
        (3, op) if op & 0x78 == 0x30 => {
            if second & 0xf000 == 0xf000 {
                Kind::Multiply
            } else {
                Kind::MultiplyAccumulate
            }
        }
        (3, op) if op & 0x78 == 0x38 => match op & 7 {
            0 | 2 => Kind::Multiply,
            1 | 3 => Kind::Divide,
            _ => Kind::MultiplyAccumulate,
        },
        _ => Kind::Other,
    }
}

/// Floating point and Helium, by the number of the coprocessor: 9 (halves), 10 (singles) and 11 (doubles) are floating point, the
/// others Helium.
fn coprocessor(first: u16, second: u16) -> Kind {
    let processor = second >> 8 & 15;
    let float = (9..=11).contains(&processor);
    let load = first & 0x10 != 0;
    if first & 0x0e00 == 0x0c00 {
        // Accesses, and moves of two registers.
        return match (float, first & 0x0180, first & 0x20) {
            _ if !float && processor < 14 => Kind::Vector, // complex floats
            (_, 0, 0) => Kind::FloatMove,
            (false, ..) if second & 0x1f80 == 0x0f80 && first & 0x1000 == 0 => Kind::System,
            (false, 0x0080, 0) if second & 0x1000 == 0 => Kind::VectorScatter, // a base and a vector of offsets
            (false, ..) if first & 0x1f00 == 0x1d00 && second & 0x1000 != 0 => Kind::VectorScatter, // a vector of bases
            (false, ..) => Kind::VectorAccess,
            (true, 0x0100 | 0x0180, 0) => {
                let words = if processor == 11 { 2 } else { 1 };
                if load { Kind::Load(words) } else { Kind::Store(words) }
            }
            (true, ..) if load => Kind::Load(second as u8),
            (true, ..) => Kind::Store(second as u8),
        };
    }
    if !float || first & 0x0f00 == 0x0f00 {
        return Kind::Vector;
    }
    match (first & 0x1000 != 0, second & 0x10 != 0, first & 0xb0) {
        (false, true, _) => Kind::FloatMove,
        (true, _, 0xb0) => Kind::FloatConvert, // roundings and their like
        (true, ..) => Kind::Float,             // choices, minima, maxima
        (_, _, 0x00 | 0x10 | 0x90 | 0xa0) => Kind::FloatAccumulate,
        (_, _, 0x20 | 0x30) => Kind::Float,
        (_, _, 0x80) => Kind::FloatDivide,
        _ if second & 0x40 == 0 => Kind::Float, // an immediate value
        _ => match (first & 15, second & 0x80 != 0) {
            (0, _) | (1, false) => Kind::Float,
            (1, true) => Kind::FloatDivide, // a square root
            _ => Kind::FloatConvert,
        },
    }
}

/// The kind of a RISC-V instruction of `size` bytes, of RV32IMAC.
pub fn riscv(opcode: u32, size: u8) -> Kind {
    let function = opcode >> 12 & 7;
    if size == 4 {
        return match opcode & 0x7f {
            0x03 => Kind::Load(1),
            0x23 => Kind::Store(1),
            0x33 if opcode >> 25 == 1 => {
                if function < 4 {
                    Kind::Multiply
                } else {
                    Kind::Divide
                }
            }
            0x13 | 0x17 | 0x33 | 0x37 => Kind::Alu,
            0x63 => Kind::Branch,
            0x67 => Kind::BranchIndirect,
            0x6f if opcode >> 7 & 31 == 0 => Kind::Branch,
            0x6f => Kind::Call,
            0x0f | 0x73 => Kind::System,
            _ => Kind::Other,
        };
    }
    let (destination, source) = (opcode >> 7 & 31, opcode >> 2 & 31);
    match (opcode & 3, opcode >> 13 & 7) {
        (0, 0) | (1, 0 | 2 | 3 | 4) | (2, 0) => Kind::Alu,
        (0 | 2, 2) => Kind::Load(1),
        (0 | 2, 6) => Kind::Store(1),
        (1, 1) => Kind::Call,
        (1, 5..=7) => Kind::Branch,
        (2, 4) if source == 0 && opcode & 0x1000 != 0 && destination == 0 => Kind::System, // ebreak
        (2, 4) if source == 0 => Kind::BranchIndirect,
        (2, 4) => Kind::Alu,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::Kind::*;
    use super::*;

    // Both tables were made by LLVM's assembler from the text beside each opcode.

    #[rustfmt::skip]
    const THUMB: &[(u32, Kind)] = &[
        (0x2001, Alu), // movs r0, #1
        (0x00d1, Alu), // lsls r1, r2, #3
        (0x1888, Alu), // adds r0, r1, r2
        (0x4348, Multiply), // muls r0, r1, r0
        (0x4548, Alu), // cmp r0, r9
        (0x4770, BranchIndirect), // bx lr
        (0x4798, BranchIndirect), // blx r3
        (0x4801, Load(1)), // ldr r0, [pc, #4]
        (0x5088, Store(1)), // str r0, [r1, r2]
        (0x5288, Store(1)), // strh r0, [r1, r2]
        (0x5488, Store(1)), // strb r0, [r1, r2]
        (0x5688, Load(1)), // ldrsb r0, [r1, r2]
        (0x5888, Load(1)), // ldr r0, [r1, r2]
        (0x5e88, Load(1)), // ldrsh r0, [r1, r2]
        (0x6048, Store(1)), // str r0, [r1, #4]
        (0x6848, Load(1)), // ldr r0, [r1, #4]
        (0x7108, Store(1)), // strb r0, [r1, #4]
        (0x7908, Load(1)), // ldrb r0, [r1, #4]
        (0x8088, Store(1)), // strh r0, [r1, #4]
        (0x8888, Load(1)), // ldrh r0, [r1, #4]
        (0x9001, Store(1)), // str r0, [sp, #4]
        (0x9801, Load(1)), // ldr r0, [sp, #4]
        (0xa001, Alu), // adr r0, #4
        (0xa801, Alu), // add r0, sp, #4
        (0xb084, Alu), // sub sp, #16
        (0xb110, Branch), // cbz r0, #4
        (0xbb18, Branch), // cbnz r0, #70
        (0xb208, Alu), // sxth r0, r1
        (0xba08, Alu), // rev r0, r1
        (0xb530, Store(3)), // push {r4, r5, lr}
        (0xb410, Store(1)), // push {r4}
        (0xbd30, Load(3)), // pop {r4, r5, pc}
        (0xbc10, Load(1)), // pop {r4}
        (0xb672, System), // cpsid i
        (0xbe01, System), // bkpt #1
        (0xbf08, Alu), // it eq
        (0x4608, Alu), // moveq r0, r1
        (0xc006, Store(2)), // stm r0!, {r1, r2}
        (0xc80e, Load(3)), // ldm r0!, {r1, r2, r3}
        (0xd00a, Branch), // beq #20
        (0xdf01, System), // svc #1
        (0xe00a, Branch), // b #20
        (0x0203e8b8, Load(3)), // ldm.w r8!, {r0, r1, r9}
        (0x4ff0e92d, Store(9)), // push.w {r4, r5, r6, r7, r8, r9, r10, r11, lr}
        (0x0100e9d2, Load(2)), // ldrd r0, r1, [r2]
        (0x0102e9c2, Store(2)), // strd r0, r1, [r2, #8]
        (0x0f00e851, Load(1)), // ldrex r0, [r1]
        (0x1000e842, Store(1)), // strex r0, r1, [r2]
        (0xf000e8df, BranchIndirect), // tbb [pc, r0]
        (0xf010e8df, BranchIndirect), // tbh [pc, r0, lsl #1]
        (0x0f4fe8d1, Load(1)), // ldrexb r0, [r1]
        (0x0fafe8d1, Load(1)), // lda r0, [r1]
        (0x00c2eb01, Alu), // add.w r0, r1, r2, lsl #3
        (0x0002eac1, Alu), // pkhbt r0, r1, r2
        (0x707af501, Alu), // add.w r0, r1, #1000
        (0x2034f241, Alu), // movw r0, #4660
        (0x00c6f361, Alu), // bfi r0, r1, #3, #4
        (0x000ff301, Alu), // ssat r0, #16, r1
        (0x00c3f341, Alu), // sbfx r0, r1, #3, #4
        (0x00c3f3c1, Alu), // ubfx r0, r1, #3, #4
        (0xf9f4f000, Call), // bl #1000
        (0xbfd0f000, Branch), // b.w #4000
        (0x87d0f000, Branch), // beq.w #4000
        (0x8000f3af, Alu), // nop.w
        (0x8000f3ef, System), // mrs r0, apsr
        (0x8800f380, System), // msr apsr_nzcvq, r0
        (0x8f4ff3bf, System), // dsb sy
        (0x0064f881, Store(1)), // strb.w r0, [r1, #100]
        (0x0d04f841, Store(1)), // str r0, [r1, #-4]!
        (0x0012f821, Store(1)), // strh.w r0, [r1, r2, lsl #1]
        (0x0064f8d1, Load(1)), // ldr.w r0, [r1, #100]
        (0x0064f991, Load(1)), // ldrsb.w r0, [r1, #100]
        (0x0b02f931, Load(1)), // ldrsh r0, [r1], #2
        (0x0002f811, Load(1)), // ldrb.w r0, [r1, r2]
        (0xf002fa01, Alu), // lsl.w r0, r1, r2
        (0xf091fa2f, Alu), // sxtb16 r0, r1, ror #8
        (0xf082fa21, Alu), // sxtab16 r0, r1, r2
        (0xf042fa81, Alu), // uadd8 r0, r1, r2
        (0xf081fab1, Alu), // clz r0, r1
        (0xf002fb01, Multiply), // mul r0, r1, r2
        (0x3002fb01, MultiplyAccumulate), // mla r0, r1, r2, r3
        (0x3012fb01, MultiplyAccumulate), // mls r0, r1, r2, r3
        (0xf002fb11, Multiply), // smulbb r0, r1, r2
        (0x3002fb11, MultiplyAccumulate), // smlabb r0, r1, r2, r3
        (0xf002fb21, Multiply), // smuad r0, r1, r2
        (0x3002fb21, MultiplyAccumulate), // smlad r0, r1, r2, r3
        (0xf002fb51, Multiply), // smmul r0, r1, r2
        (0x3002fb51, MultiplyAccumulate), // smmla r0, r1, r2, r3
        (0xf002fb31, Multiply), // smulwb r0, r1, r2
        (0x0103fb82, Multiply), // smull r0, r1, r2, r3
        (0x0103fba2, Multiply), // umull r0, r1, r2, r3
        (0x0103fbc2, MultiplyAccumulate), // smlal r0, r1, r2, r3
        (0x01c3fbc2, MultiplyAccumulate), // smlald r0, r1, r2, r3
        (0x0163fbe2, MultiplyAccumulate), // umaal r0, r1, r2, r3
        (0xf0f2fb91, Divide), // sdiv r0, r1, r2
        (0xf0f2fbb1, Divide), // udiv r0, r1, r2
        (0xc005f00f, LoopEnd), // le lr, #-8
        (0xc005f01f, LoopEnd), // letp lr, #-8
        (0xc005f040, LoopEnd), // wls lr, r0, #8
        (0xe001f040, Alu), // dls lr, r0
        (0xe001f000, Alu), // dlstp.8 lr, r0
        (0xe001f00f, Alu), // lctp
        (0x0a00ed90, Load(1)), // vldr s0, [r0]
        (0x0b00ed90, Load(2)), // vldr d0, [r0]
        (0x0a01ed80, Store(1)), // vstr s0, [r0, #4]
        (0x8b10ed2d, Store(16)), // vpush {d8, d9, d10, d11, d12, d13, d14, d15}
        (0x8b04ecbd, Load(4)), // vpop {d8, d9}
        (0x0a04ecb0, Load(4)), // vldmia r0!, {s0, s1, s2, s3}
        (0x0a04ed20, Store(4)), // vstmdb r0!, {s0, s1, s2, s3}
        (0x0b10ec51, FloatMove), // vmov r0, r1, d0
        (0x0b10ec41, FloatMove), // vmov d0, r0, r1
        (0x0a10ee00, FloatMove), // vmov s0, r0
        (0x0a10ee10, FloatMove), // vmov r0, s0
        (0xfa10eef1, FloatMove), // vmrs APSR_nzcv, fpscr
        (0x0a81ee30, Float), // vadd.f32 s0, s1, s2
        (0x0ac1ee30, Float), // vsub.f32 s0, s1, s2
        (0x0a81ee20, Float), // vmul.f32 s0, s1, s2
        (0x0ac1ee20, Float), // vnmul.f32 s0, s1, s2
        (0x0a81ee00, FloatAccumulate), // vmla.f32 s0, s1, s2
        (0x0a81eea0, FloatAccumulate), // vfma.f32 s0, s1, s2
        (0x0ac1eea0, FloatAccumulate), // vfms.f32 s0, s1, s2
        (0x0a81ee90, FloatAccumulate), // vfnms.f32 s0, s1, s2
        (0x0a81ee80, FloatDivide), // vdiv.f32 s0, s1, s2
        (0x0ae0eeb1, FloatDivide), // vsqrt.f32 s0, s1
        (0x0a00eeb7, Float), // vmov.f32 s0, #1.000000e+00
        (0x0a60eeb0, Float), // vmov.f32 s0, s1
        (0x0ae0eeb0, Float), // vabs.f32 s0, s1
        (0x0a60eeb1, Float), // vneg.f32 s0, s1
        (0x0a60eeb4, FloatConvert), // vcmp.f32 s0, s1
        (0x0a40eeb5, FloatConvert), // vcmp.f32 s0, #0
        (0x0a60eeb2, FloatConvert), // vcvtb.f32.f16 s0, s1
        (0x0ae0eeb3, FloatConvert), // vcvtt.f16.f32 s0, s1
        (0x0ae0eeb8, FloatConvert), // vcvt.f32.s32 s0, s1
        (0x0ae0eebd, FloatConvert), // vcvt.s32.f32 s0, s1
        (0x0acceeba, FloatConvert), // vcvt.f32.s32 s0, s0, #8
        (0x0ae0eeb7, FloatConvert), // vcvt.f64.f32 d0, s1
        (0x0ae0eeb6, FloatConvert), // vrintz.f32 s0, s1
        (0x0a81fe80, Float), // vmaxnm.f32 s0, s1, s2
        (0x0a81fe00, Float), // vseleq.f32 s0, s1, s2
        (0x0a60febb, FloatConvert), // vrintm.f32 s0, s1
        (0x0ae0febc, FloatConvert), // vcvta.s32.f32 s0, s1
        (0x0981ee30, Float), // vadd.f16 s0, s1, s2
        (0x1e10ecb0, VectorAccess), // vldrb.u8 q0, [r0], #16
        (0x1f04ed90, VectorAccess), // vldrw.u32 q0, [r0, #16]
        (0x0e80ed90, VectorAccess), // vldrb.s16 q0, [r0]
        (0x0f00ed98, VectorAccess), // vldrh.s32 q0, [r0]
        (0x1f00ed80, VectorAccess), // vstrw.32 q0, [r0]
        (0x1e00fc90, VectorAccess), // vld20.8 {q0, q1}, [r0]
        (0x1f61fc80, VectorAccess), // vst43.32 {q0, q1, q2, q3}, [r0]
        (0x0e02fc90, VectorScatter), // vldrb.u8 q0, [r0, q1]
        (0x0e93fc90, VectorScatter), // vldrh.u16 q0, [r0, q1, uxtw #1]
        (0x1e01fd92, VectorScatter), // vldrw.u32 q0, [q1, #4]
        (0x0e02ec80, VectorScatter), // vstrb.8 q0, [r0, q1]
        (0x0f00ec01, FloatMove), // vmov r0, r1, q0[2], q0[0]
        (0x0844ef22, Vector), // vadd.i32 q0, q1, q2
        (0x0f42ee23, Vector), // vadd.i32 q0, q1, r2
        (0x0e42ee13, Vector), // vmla.i16 q0, q1, r2
        (0x0f02eef0, Vector), // vmlav.s8 r0, q0, q1
        (0x0f22eef0, Vector), // vmlava.s8 r0, q0, q1
        (0x0b44ef22, Vector), // vqdmulh.s32 q0, q1, q2
        (0x0e05ee13, Vector), // vmulh.s16 q0, q1, q2
        (0x0052efbc, Vector), // vshr.s32 q0, q1, #4
        (0x0542ef24, Vector), // vrshl.s32 q0, q1, q2
        (0x0b10eea0, FloatMove), // vdup.32 q0, r0
        (0x0f4dfe71, Vector), // vpst
        (0x0d44ef02, Vector), // vaddt.f32 q0, q1, q2
        (0x0c54ef02, Vector), // vfma.f32 q0, q1, q2
        (0x0e42ee33, Vector), // vfma.f32 q0, q1, r2
        (0x0844fc32, Vector), // vcmla.f32 q0, q1, q2, #0
        (0xe801f000, Alu), // vctp.8 r0
        (0x0f05fe33, Vector), // vpsel q0, q1, q2
        (0x0f42eea8, Vector), // vmovlb.s8 q0, q1
        (0x0e83fe35, Vector), // vmovnb.i32 q0, q1
        (0x0642ffbb, Vector), // vcvt.f32.s32 q0, q1
        (0x0f02eef9, Vector), // vaddv.s32 r0, q1
        (0x0b10ee30, FloatMove), // vmov.32 r0, q0[1]
    ];

    #[rustfmt::skip]
    const RISCV: &[(u32, Kind)] = &[
        (0x4529, Alu), // c.li a0, 10
        (0xc1850513, Alu), // addi a0, a0, -1000
        (0x123455b7, Alu), // lui a1, 74565
        (0x00001597, Alu), // auipc a1, 1
        (0x00c58533, Alu), // add a0, a1, a2
        (0x952e, Alu), // c.add a0, a1
        (0x852e, Alu), // c.mv a0, a1
        (0x050e, Alu), // c.slli a0, 3
        (0x850d, Alu), // c.srai a0, 3
        (0x8d6d, Alu), // c.and a0, a1
        (0x0808, Alu), // c.addi4spn a0, sp, 16
        (0x713d, Alu), // c.addi16sp sp, -32
        (0x668d, Alu), // c.lui a3, 3
        (0x0001, Alu), // c.nop 
        (0x00c59533, Alu), // sll a0, a1, a2
        (0x4035d513, Alu), // srai a0, a1, 3
        (0x00c5b533, Alu), // sltu a0, a1, a2
        (0x0015c513, Alu), // xori a0, a1, 1
        (0x02c58533, Multiply), // mul a0, a1, a2
        (0x02c5b533, Multiply), // mulhu a0, a1, a2
        (0x02c5c533, Divide), // div a0, a1, a2
        (0x02c5f533, Divide), // remu a0, a1, a2
        (0x00158503, Load(1)), // lb a0, 1(a1)
        (0x0025d503, Load(1)), // lhu a0, 2(a1)
        (0x4005a503, Load(1)), // lw a0, 1024(a1)
        (0x41c8, Load(1)), // c.lw a0, 4(a1)
        (0x4512, Load(1)), // c.lwsp a0, 4(sp)
        (0x00a580a3, Store(1)), // sb a0, 1(a1)
        (0x40a5a023, Store(1)), // sw a0, 1024(a1)
        (0xc1c8, Store(1)), // c.sw a0, 4(a1)
        (0xc22a, Store(1)), // c.swsp a0, 4(sp)
        (0x00b50863, Branch), // beq a0, a1, 16
        (0x00b57863, Branch), // bgeu a0, a1, 16
        (0xc901, Branch), // c.beqz a0, 16
        (0xe901, Branch), // c.bnez a0, 16
        (0x0000106f, Branch), // jal zero, 4096
        (0x000010ef, Call), // jal ra, 4096
        (0xa801, Branch), // c.j 16
        (0x2801, Call), // c.jal 16
        (0x8502, BranchIndirect), // c.jr a0
        (0x004500e7, BranchIndirect), // jalr ra, 4(a0)
        (0x8082, BranchIndirect), // c.jr ra
        (0x9502, BranchIndirect), // c.jalr a0
        (0x00000073, System), // ecall 
        (0x9002, System), // c.ebreak 
        (0x9002, System), // c.ebreak 
        (0xb0002573, System), // csrrs a0, mcycle, zero
        (0x0ff0000f, System), // fence iorw, iorw
        (0x0000100f, System), // fence.i 
        (0x1005a52f, Other), // lr.w a0, (a1)
        (0x18b6252f, Other), // sc.w a0, a1, (a2)
        (0x00b6252f, Other), // amoadd.w a0, a1, (a2)
    ];

    #[test]
    fn every_thumb_encoding_of_the_table_has_its_kind() {
        for &(opcode, kind) in THUMB {
            let narrow = opcode >> 16 == 0;
            assert_eq!(thumb(opcode, if narrow { 2 } else { 4 }), kind, "{opcode:#x}");
        }
    }

    #[test]
    fn every_risc_v_encoding_of_the_table_has_its_kind() {
        for &(opcode, kind) in RISCV {
            assert_eq!(riscv(opcode, if opcode & 3 == 3 { 4 } else { 2 }), kind, "{opcode:#x}");
        }
    }

    #[test]
    fn no_opcode_stops_the_decoder() {
        for high in 0..=u16::MAX {
            for low in [0, 0x0f0f, 0x1f1f, 0xf000, 0xffff, 0x5a5a] {
                let opcode = u32::from(high) << 16 | low;
                let _ = (thumb(opcode, 4), thumb(opcode.rotate_left(16), 4), thumb(opcode >> 16, 2));
                let _ = (riscv(opcode, 4), riscv(opcode.rotate_left(16), 4), riscv(opcode >> 16, 2));
            }
        }
    }
}
