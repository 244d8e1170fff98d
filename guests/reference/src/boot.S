/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three doors of the image, the way of the other CPUs into it, and the few
 * things C cannot say.
 *
 *   entry_multiboot  QEMU -kernel (it looks for multiboot before PVH)
 *   entry_pvh        any loader that reads XEN_ELFNOTE_PHYS32_ENTRY
 *   entry_linux64    the ELF entry point: loaders that know only Linux' 64-bit
 *                    boot protocol (Firecracker before it learned PVH)
 *
 * All three lead to reference_main(boot protocol, boot information, TSC at entry) in
 * 32-bit protected mode without paging, interrupts off.
 */
#include "reference.h"

#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0x00010003 /* memory size wanted, address fields valid */

#define CR0_PE_ET 0x11 /* protected mode; INIT had left caching disabled */

#define CODE32 0x08
#define DATA32 0x10

	.code32
	.section .note.pvh, "a", @note
	.long	4			/* name size */
	.long	4			/* descriptor size */
	.long	18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	entry_pvh

	.section .text.boot, "ax"
	.balign	4
multiboot_header:
	.long	MULTIBOOT_MAGIC
	.long	MULTIBOOT_FLAGS
	.long	-(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)
	.long	multiboot_header
	.long	image_start
	.long	image_load_end
	.long	image_bss_end
	.long	entry_multiboot

/* The TSC is the first thing read: everything after it is the guest's own. */
	.global	entry_multiboot
entry_multiboot:
	rdtsc
	mov	$BOOT_MULTIBOOT, %ecx
	jmp	start32

	.global	entry_pvh
entry_pvh:
	rdtsc
	mov	$BOOT_PVH, %ecx

/* edx:eax TSC, ecx boot protocol, ebx boot information */
start32:
	cli
	cld
	mov	$stack_top, %esp
	lgdt	gdt_pointer
	push	%edx
	push	%eax
	push	%ebx
	push	%ecx
	ljmp	$CODE32, $1f
1:	mov	$DATA32, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	call	reference_main

	.global	halt_forever
halt_forever:
	cli
	hlt
	jmp	halt_forever

	.global	spin_forever
spin_forever:
	pause
	jmp	spin_forever

/* An exception without an interrupt table is a triple fault: the VM ends. */
	.global	crash_triple
crash_triple:
	lidt	no_idt
	ud2
	jmp	halt_forever

	.global	crash_gp
crash_gp:
	lidt	no_idt
	mov	$0x7ff8, %eax		/* a selector far beyond the GDT */
	mov	%eax, %gs
	jmp	halt_forever

/*
 * wait_interrupt sleeps until the next interrupt and returns with interrupts
 * off. Interrupts are on nowhere else, so the handler has no state to save and
 * no iret to make (KVM's emulator has none for protected mode): it drops the
 * frame (eip, cs, eflags) and returns to wait_interrupt's caller.
 */
	.global	wait_interrupt
wait_interrupt:
	sti
	hlt
	cli
	ret

	.global	interrupt_entry
interrupt_entry:
	add	$12, %esp
	ret

/* From long mode down to start32: out of 64-bit code, paging off, LME off. */
	.code64
	.global	entry_linux64
entry_linux64:
	rdtsc
	mov	%eax, %ebp
	mov	%edx, %edi
	mov	%esi, %ebx		/* boot_params */
	mov	$stack_top, %esp
	mov	$gdt_pointer, %ecx
	lgdt	(%rcx)
	push	$CODE32
	mov	$leave_long_mode, %eax
	push	%rax
	lretq

	.code32
leave_long_mode:
	mov	$DATA32, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%cr0, %eax
	btr	$31, %eax		/* PG */
	mov	%eax, %cr0
	mov	$0xc0000080, %ecx	/* EFER */
	rdmsr
	btr	$8, %eax		/* LME */
	wrmsr
	mov	%ebp, %eax
	mov	%edi, %edx
	mov	$BOOT_LINUX64, %ecx
	jmp	start32

/* The other CPUs, from the trampoline; cpus.c has put out a stack. */
ap_start32:
	mov	$DATA32, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	ap_stack, %esp
	call	ap_main

/*
 * Where an AP begins, in real mode with CS:IP = TRAMPOLINE / 16 : 0. It runs as
 * a copy at TRAMPOLINE.
 */
	.section .rodata
	.code16
	.global	trampoline, trampoline_end
trampoline:
	cli
	cld
	lgdtl	%cs:trampoline_gdt - trampoline
	mov	$CR0_PE_ET, %eax
	mov	%eax, %cr0
	ljmpl	$CODE32, $ap_start32
trampoline_gdt:
	.word	gdt_end - gdt - 1
	.long	gdt
trampoline_end:

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* CODE32: flat, present, accessed */
	.quad	0x00cf93000000ffff	/* DATA32 */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
	.long	0			/* long mode reads an 8-byte base */
no_idt:
	.word	0
	.long	0
	.long	0

	.bss
	.balign	16
	.skip	8192
stack_top:
