/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's CPUs: what each of them does, and how the boot CPU starts the
 * others (application processors, AP). An AP does its share and halts; it has
 * no console, no interrupts and no local APIC access of its own.
 */
#include "reference.h"

#define ICR_INIT 0x4500 /* level assert, as both vendors want it */
#define ICR_STARTUP 0x4600 /* + the page where the AP begins, in real mode */

/*
 * Nobody knows the TSC's rate here. Intel's start-up sequence (SDM 3A, 9.4.4,
 * "MP Initialization Example") has 10 ms after INIT and 200 us after each SIPI:
 * at least that much up to 5 GHz.
 */
#define INIT_TSC 50000000u
#define STARTUP_TSC 1000000u
#define PATIENCE_TSC (1ull << 34) /* without any progress; 4 s at 4 GHz */

#define AP_STACK 1024

struct cpu cpus[CPUS_MAX];
u32 ap_stack; /* of the AP being started; read by boot.S */

static struct cpu *starting;
static u32 go;
static u8 stacks[CPUS_MAX][AP_STACK] __attribute__((aligned(16)));

/* Exactly opt.pio OUTs to the CPU's own port and opt.cpuid CPUIDs. */
void cpu_work(struct cpu *cpu)
{
	u16 port = PIO_PORT + (cpu - cpus);
	u32 a, b, c, d;

	for (; cpu->pio < opt.pio; cpu->pio++)
		__asm__ volatile("outb %b0, %w1" ::"a"(cpu->pio), "d"(port) : "memory");
	for (; cpu->cpuid < opt.cpuid; cpu->cpuid++)
		__asm__ volatile("cpuid"
				 : "=a"(a), "=b"(b), "=c"(c), "=d"(d)
				 : "a"(0), "c"(0)
				 : "memory");
}

/* Where boot.S brings an AP: flat 32-bit mode, a stack of its own. */
_Noreturn void ap_main(void)
{
	struct cpu *self = starting;

	self->state = CPU_ANSWERED;
	while (!go)
		pause();
	cpu_work(self);
	barrier();
	self->state = CPU_FINISHED;
	halt_forever();
}

static void delay(u32 tsc)
{
	u64 begin = rdtsc();

	while (rdtsc() - begin < tsc)
		pause();
}

/* Any progress of the CPU's buys it new patience. */
static void await(u32 number, enum cpu_state state, const char *complaint)
{
	char digit[2] = { '0' + number, 0 };
	struct cpu *cpu = &cpus[number];
	u64 begin = rdtsc();
	u32 seen = 0;

	for (; cpu->state < state; pause()) {
		if (cpu->pio + cpu->cpuid != seen) {
			seen = cpu->pio + cpu->cpuid;
			begin = rdtsc();
		}
		if (rdtsc() - begin > PATIENCE_TSC)
			fail(complaint, digit);
	}
}

/*
 * Starts CPUs 1 to n-1, whose APIC ids are the same numbers, and lets them all
 * go at once. One SIPI would do with every hypervisor; always sending two keeps
 * the number of accesses fixed: six per AP.
 */
void cpus_start(u32 n)
{
	if (n == 1)
		return;
	copy((void *)TRAMPOLINE, trampoline, trampoline_end - trampoline);
	for (u32 i = 1; i < n; i++)
		ipi(i, ICR_INIT);
	delay(INIT_TSC);
	for (u32 i = 1; i < n; i++) {
		starting = &cpus[i];
		ap_stack = (u32)stacks[i] + AP_STACK;
		ipi(i, ICR_STARTUP | TRAMPOLINE / PAGE);
		delay(STARTUP_TSC);
		ipi(i, ICR_STARTUP | TRAMPOLINE / PAGE);
		await(i, CPU_ANSWERED,
		      "give the VM as many CPUs as cpus= says: no answer to INIT and SIPI from CPU ");
	}
	go = 1;
}

void cpus_wait(u32 n)
{
	for (u32 i = 1; i < n; i++)
		await(i, CPU_FINISHED, "no more progress on CPU ");
}
