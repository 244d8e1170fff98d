/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for a loader that knows only Linux' 64-bit boot protocol: enters
 * long mode with the first GiB mapped one to one and jumps to ENTRY with RSI at
 * a zero page. The reference guest has been put into memory by QEMU.
 * Assembled by linux64_test.go with ENTRY and CMDLINE defined.
 */
	.code32
	.text
header:
	.long	0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000)
	.long	header, header, load_end, bss_end, start

start:
	mov	$pdpt + 3, %eax
	mov	%eax, pml4
	mov	$directory + 3, %eax
	mov	%eax, pdpt
	mov	$0x83, %eax		/* 2 MiB pages, present, writable */
	mov	$directory, %edi
1:	mov	%eax, (%edi)
	add	$8, %edi
	add	$0x200000, %eax
	cmp	$0x40000083, %eax
	jne	1b
	mov	$0x20, %eax		/* PAE */
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	bts	$8, %eax		/* LME */
	wrmsr
	mov	%cr0, %eax
	bts	$31, %eax
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$8, $long
	.code64
long:
	mov	$zero_page, %esi
	mov	$ENTRY, %eax
	jmp	*%rax

	.balign	8
gdt:
	.quad	0, 0x00af9b000000ffff
gdt_pointer:
	.word	15
	.long	gdt
command_line:
	.asciz	CMDLINE
	.balign	16
zero_page:
	.fill	0x1e8
	.byte	2			/* e820 entries */
	.fill	0x228 - 0x1e9
	.long	command_line
	.fill	0x2d0 - 0x22c
	.quad	0, 0x9fc00
	.long	1
	.quad	0x100000, 0x600000	/* RAM ends at 7 MiB */
	.long	1
load_end:
	.bss
	.balign	4096
pml4:	.skip	4096
pdpt:	.skip	4096
directory: .skip 4096
bss_end:
