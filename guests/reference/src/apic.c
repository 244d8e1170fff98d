/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts: the local APIC's timer, one line of an I/O APIC, and those sent to
 * other CPUs. The 8259s are masked, so nothing else can wake the guest. Vectors
 * have no handlers of their own: an interrupt only ends wait_interrupt (boot.S).
 */
#include "reference.h"

#define LAPIC 0xfee00000u
#define LAPIC_EOI (LAPIC + 0x0b0)
#define LAPIC_SPURIOUS (LAPIC + 0x0f0)
#define LAPIC_ICR_LOW (LAPIC + 0x300)
#define LAPIC_ICR_HIGH (LAPIC + 0x310)
#define LAPIC_TIMER (LAPIC + 0x320)
#define LAPIC_LINT0 (LAPIC + 0x350)
#define LAPIC_TIMER_COUNT (LAPIC + 0x380)
#define LAPIC_TIMER_DIVIDE (LAPIC + 0x3e0)
#define LAPIC_ENABLE 0x100
#define LAPIC_MASKED 0x10000
#define LAPIC_DIVIDE_BY_1 0x0b

/*
 * KVM's and QEMU's local APIC count nanoseconds (1 GHz): 10 ms. Long enough for
 * the vCPU to be asleep by then, even under nested emulation: KVM sees a wake-up
 * only where it has put the vCPU to sleep.
 */
#define TIMER_TICKS 10000000u

#define IOAPIC_FIRST 0xfec00000u /* lines 0 to 23 */
#define IOAPIC_SECOND 0xfec10000u /* QEMU microvm's second: lines 24 to 47 */
#define IOAPIC_LINES 24
#define IOAPIC_DATA 0x10
#define IOAPIC_REDIRECTION 0x10
#define IOAPIC_LEVEL 0x8000

#define PIC_MASTER_MASK 0x21
#define PIC_SLAVE_MASK 0xa1

#define VECTOR_TIMER 0x20
#define VECTOR_DEVICE 0x21
#define VECTOR_SPURIOUS 0x2f

static u64 idt[VECTOR_SPURIOUS + 1];

static void idt_set(u32 vector)
{
	u32 handler = (u32)interrupt_entry;

	/* a present 32-bit interrupt gate, ring 0, code segment 0x08 */
	idt[vector] = (u64)(handler & 0xffff0000u) << 32 | 0x8e0000080000ull | (handler & 0xffff);
}

void interrupts_init(void)
{
	struct {
		u16 limit;
		u32 base;
	} __attribute__((packed)) idtr = { sizeof(idt) - 1, (u32)idt };

	idt_set(VECTOR_TIMER);
	idt_set(VECTOR_DEVICE);
	idt_set(VECTOR_SPURIOUS);
	__asm__ volatile("lidt %0" ::"m"(idtr));
	outb(PIC_MASTER_MASK, 0xff);
	outb(PIC_SLAVE_MASK, 0xff);
	write_u32(LAPIC_SPURIOUS, LAPIC_ENABLE | VECTOR_SPURIOUS);
	write_u32(LAPIC_LINT0, LAPIC_MASKED);
	write_u32(LAPIC_TIMER_DIVIDE, LAPIC_DIVIDE_BY_1);
	write_u32(LAPIC_TIMER, VECTOR_TIMER);
}

void irq_eoi(void)
{
	write_u32(LAPIC_EOI, 0);
}

/* An interrupt to another CPU: two accesses, of which the second sends it. */
void ipi(u32 apic, u32 command)
{
	write_u32(LAPIC_ICR_HIGH, apic << 24);
	write_u32(LAPIC_ICR_LOW, command);
}

/* One HLT, ended by the timer 10 ms later; two accesses to the local APIC. */
void timer_wait(void)
{
	write_u32(LAPIC_TIMER_COUNT, TIMER_TICKS);
	wait_interrupt();
	irq_eoi();
}

void irq_route(u32 gsi, u32 level)
{
	u32 ioapic = gsi < IOAPIC_LINES ? IOAPIC_FIRST : IOAPIC_SECOND;
	u32 entry = IOAPIC_REDIRECTION + 2 * (gsi % IOAPIC_LINES);

	write_u32(ioapic, entry + 1);
	write_u32(ioapic + IOAPIC_DATA, 0); /* to local APIC 0 */
	write_u32(ioapic, entry);
	write_u32(ioapic + IOAPIC_DATA, VECTOR_DEVICE | (level ? IOAPIC_LEVEL : 0));
}
