//! Says what the processor lacks, instead of dying of an illegal instruction.
//!
//! The default build for x86-64 uses instructions of x86-64-v3, and AES and PCLMULQDQ
//! (`.cargo/config.toml`). Any function compiled with them may use them, and the static initialisers of the
//! database run before `main`; so the check stands in `.preinit_array`, which the dynamic loader runs before
//! every initialiser of the program, and is written in assembly, which no compiler improves. It needs nothing
//! but `cpuid`, `xgetbv` and the system calls `write` and `exit_group`.
//!
//! `is_x86_feature_detected!` would be of no use: where a feature is switched on for the build, it is the
//! constant `true`.
#![cfg(all(target_arch = "x86_64", target_os = "linux", target_feature = "avx2"))]
#![allow(unsafe_code)]

// Four words are gathered on the stack: leaf 1 ECX, leaf 7 EBX, leaf 0x80000001 ECX, and XCR0, which says what
// registers the system saves. Each row of the table names a word, a bit in it, and the feature.
std::arch::global_asm!(
    r#"
    .macro cairn_cpu_needs word, bit, name
    .byte \word, \bit, 11f - 10f
10: .ascii "\name"
11:
    .endm

    .section .rodata.cairn_cpu, "a", @progbits
cairn_cpu_table:
    cairn_cpu_needs 0, 0, " sse3"
    cairn_cpu_needs 0, 1, " pclmulqdq"
    cairn_cpu_needs 0, 9, " ssse3"
    cairn_cpu_needs 0, 12, " fma"
    cairn_cpu_needs 0, 13, " cmpxchg16b"
    cairn_cpu_needs 0, 19, " sse4.1"
    cairn_cpu_needs 0, 20, " sse4.2"
    cairn_cpu_needs 0, 22, " movbe"
    cairn_cpu_needs 0, 23, " popcnt"
    cairn_cpu_needs 0, 25, " aes"
    cairn_cpu_needs 0, 28, " avx"
    cairn_cpu_needs 0, 29, " f16c"
    cairn_cpu_needs 1, 3, " bmi1"
    cairn_cpu_needs 1, 5, " avx2"
    cairn_cpu_needs 1, 8, " bmi2"
    cairn_cpu_needs 2, 5, " lzcnt"
    cairn_cpu_needs 3, 2, " avx-registers-saved-by-the-system"
    .byte 255
cairn_cpu_before: .ascii "Error: this build of cairn needs a processor of the level x86-64-v3 with AES (Intel Haswell, AMD Excavator or later); missing:"
cairn_cpu_after: .ascii "\nBuild it on this machine with: RUSTFLAGS='-C target-cpu=native' cargo build --release\n"
cairn_cpu_end:

    .section .text.cairn_cpu, "ax", @progbits
    .type cairn_cpu_check, @function
cairn_cpu_check:
    push rbx
    push rbp
    push r12
    sub rsp, 16
    mov dword ptr [rsp + 4], 0
    mov dword ptr [rsp + 8], 0
    mov dword ptr [rsp + 12], 0
    xor eax, eax
    cpuid
    mov ebp, eax
    mov eax, 1
    xor ecx, ecx
    cpuid
    mov dword ptr [rsp], ecx
    bt ecx, 27
    jnc 2f
    xor ecx, ecx
    xgetbv
    mov dword ptr [rsp + 12], eax
2:  cmp ebp, 7
    jb 3f
    mov eax, 7
    xor ecx, ecx
    cpuid
    mov dword ptr [rsp + 4], ebx
3:  mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb 4f
    mov eax, 0x80000001
    cpuid
    mov dword ptr [rsp + 8], ecx
4:  lea r12, [rip + cairn_cpu_table]
    xor ebp, ebp
5:  movzx eax, byte ptr [r12]
    cmp eax, 255
    je 8f
    mov eax, dword ptr [rsp + 4 * rax]
    movzx ecx, byte ptr [r12 + 1]
    bt eax, ecx
    jc 7f
    test ebp, ebp
    jnz 6f
    mov ebp, 1
    lea rsi, [rip + cairn_cpu_before]
    lea rdx, [rip + cairn_cpu_after]
    sub rdx, rsi
    mov edi, 2
    mov eax, 1
    syscall
6:  lea rsi, [r12 + 3]
    movzx edx, byte ptr [r12 + 2]
    mov edi, 2
    mov eax, 1
    syscall
7:  movzx eax, byte ptr [r12 + 2]
    lea r12, [r12 + rax + 3]
    jmp 5b
8:  test ebp, ebp
    jz 9f
    lea rsi, [rip + cairn_cpu_after]
    lea rdx, [rip + cairn_cpu_end]
    sub rdx, rsi
    mov edi, 2
    mov eax, 1
    syscall
    mov edi, 1
    mov eax, 231
    syscall
9:  add rsp, 16
    pop r12
    pop rbp
    pop rbx
    ret
    .size cairn_cpu_check, . - cairn_cpu_check

    .section .preinit_array, "aw", @preinit_array
    .balign 8
    .quad cairn_cpu_check
    .text
    "#
);
