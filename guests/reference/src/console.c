/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console: COM1, 115200 8N1. Exactly one OUT per byte and no read of the
 * line status, so that the number of port accesses is known beforehand. Every
 * VMM's 16550 takes a byte at once; a real UART would lose some.
 */
#include "reference.h"

#define COM1 0x3f8
#define COM1_DATA (COM1 + 0) /* divisor, low byte, while DLAB is set */
#define COM1_IER (COM1 + 1) /* divisor, high byte, while DLAB is set */
#define COM1_FCR (COM1 + 2)
#define COM1_LCR (COM1 + 3)
#define COM1_MCR (COM1 + 4)

#define LCR_DLAB 0x80
#define LCR_8N1 0x03
#define FCR_ENABLE_CLEAR 0x07
#define MCR_DTR_RTS 0x03

u32 console_bytes;

/* Seven OUTs; the one to COM1_DATA is a divisor, not a console byte. */
void console_init(void)
{
	outb(COM1_IER, 0);
	outb(COM1_LCR, LCR_DLAB | LCR_8N1);
	outb(COM1_DATA, 1);
	outb(COM1_IER, 0);
	outb(COM1_LCR, LCR_8N1);
	outb(COM1_FCR, FCR_ENABLE_CLEAR);
	outb(COM1_MCR, MCR_DTR_RTS);
}

void put(const char *text)
{
	for (; *text; text++) {
		outb(COM1_DATA, (u8)*text);
		console_bytes++;
	}
}

/* Divides in place; written out because a 64-bit '/' would need libgcc. */
static u32 divide_by_ten(u64 *value)
{
	u32 high = *value >> 32, low = *value, rest;

	rest = high % 10;
	high /= 10;
	__asm__("divl %4" : "=a"(low), "=d"(rest) : "a"(low), "d"(rest), "r"(10u));
	*value = (u64)high << 32 | low;
	return rest;
}

void put_u64(u64 value)
{
	char digits[21];
	char *p = digits + sizeof(digits) - 1;

	*p = 0;
	do
		*--p = '0' + divide_by_ten(&value);
	while (value);
	put(p);
}

void put_field(const char *name, u64 value)
{
	put(" ");
	put(name);
	put("=");
	put_u64(value);
}

void line(const char *text)
{
	put("ukprobe-reference: ");
	put(text);
}

/* A guest that cannot do what it was told says so and takes the VM down. */
void fail(const char *what, const char *detail)
{
	line("error: ");
	put(what);
	put(detail);
	put("\n");
	crash_triple();
}
