/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: words "key=value" between blanks. The last of two equal
 * keys wins. A value that cannot be read is an error; an unknown word is
 * reported and skipped, since VMMs add words of their own.
 */
#include "reference.h"

struct options opt;

static usize length(const char *s)
{
	usize n = 0;

	while (s[n])
		n++;
	return n;
}

static int same(const char *a, const char *b)
{
	return equal(a, b, length(b) + 1);
}

/* Returns what follows prefix in word, or 0. */
static const char *after(const char *word, const char *prefix)
{
	usize n = length(prefix);

	return equal(word, prefix, n) ? word + n : 0;
}

static u32 digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 99;
}

/* Reads digits of base up to max; returns what follows, or 0. */
static const char *number(const char *s, u32 base, u32 max, u32 *value)
{
	const char *start = s;
	u32 n = 0;

	for (u32 d; (d = digit(*s)) < base; s++) {
		if (d > max || n > (max - d) / base)
			return 0;
		n = n * base + d;
	}
	*value = n;
	return s == start ? 0 : s;
}

static int whole_number(const char *s, u32 max, u32 *value)
{
	const char *rest = number(s, 10, max, value);

	return rest && !*rest;
}

/* A.B.C.D or A.B.C.D/LEN */
static int ip_address(const char *s, u8 *ip, int prefix)
{
	u32 n;

	for (int i = 0; i < 4; i++) {
		s = number(s, 10, 255, &n);
		if (!s || (i < 3 && *s++ != '.'))
			return 0;
		ip[i] = n;
	}
	if (!prefix || !*s)
		return !*s;
	return *s == '/' && whole_number(s + 1, 32, &n);
}

/* Linux' syntax, as VMMs append it: SIZE@0xBASE:IRQ[:ID] */
static int mmio_device(const char *s)
{
	struct mmio_device d;

	while (*s && *s != '@')
		s++;
	s = after(s, "@0x");
	if (!s || !(s = number(s, 16, 0xffffffff, &d.base)) || *s != ':')
		return 0;
	if (!(s = number(s + 1, 10, 255, &d.irq)) || (*s && *s != ':'))
		return 0;
	if (opt.mmio_count < MMIO_DEVICES_MAX)
		opt.mmio[opt.mmio_count++] = d;
	return 1;
}

static int end_action(const char *s)
{
	static const char names[][6] = {
		[END_HALT] = "halt", [END_EXIT] = "exit", [END_CRASH] = "crash",
		[END_SPIN] = "spin", [END_HOLD] = "hold",
	};

	for (u32 i = END_HALT; i <= END_HOLD; i++)
		if (same(s, names[i])) {
			opt.end = i;
			return 1;
		}
	return 0;
}

static int early(const char *s, u32 *flag)
{
	*flag = same(s, "early");
	return *flag;
}

static int crash_kind(const char *s)
{
	if (same(s, "gp"))
		return opt.crash_gp = 1;
	return early(s, &opt.crash_early);
}

/* Returns 1 when understood, 0 for a bad value, -1 for an unknown word. */
static int word(const char *w)
{
	u8 gateway[4]; /* checked, not needed: answers go back to their sender */
	const char *v;

	if ((v = after(w, "cpus=")))
		return whole_number(v, CPUS_MAX, &opt.cpus) && opt.cpus;
	if ((v = after(w, "pio=")))
		return whole_number(v, 0xffffffff, &opt.pio);
	if ((v = after(w, "cpuid=")))
		return whole_number(v, 0xffffffff, &opt.cpuid);
	if ((v = after(w, "hlt=")))
		return whole_number(v, 0xffffffff, &opt.hlt);
	if ((v = after(w, "mem=")))
		return whole_number(v, 4095, &opt.mem_mib);
	if ((v = after(w, "ip=")))
		return opt.net = ip_address(v, opt.ip, 1);
	if ((v = after(w, "gw=")))
		return ip_address(v, gateway, 0);
	if ((v = after(w, "port=")))
		return whole_number(v, 65535, &opt.port) && opt.port;
	if ((v = after(w, "end=")))
		return end_action(v);
	if ((v = after(w, "spin=")))
		return early(v, &opt.spin_early);
	if ((v = after(w, "crash=")))
		return crash_kind(v);
	if ((v = after(w, "boot-timer=")))
		return whole_number(v, 0xffffffff, &opt.boot_timer);
	if ((v = after(w, "virtio_mmio.device=")))
		return mmio_device(v);
	return same(w, "pci=off") ? 1 : -1; /* Firecracker's word, and true */
}

/* Multiboot loaders put the image's path in front. */
static int is_path(const char *w)
{
	if (*w == '/' || *w == '.')
		return 1;
	while (*w && *w != '=')
		w++;
	return !*w;
}

static int blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Cuts the next word out of *rest; returns 0 at the end. */
static char *next_word(char **rest)
{
	char *w = *rest, *p;

	while (blank(*w))
		w++;
	for (p = w; *p && !blank(*p);)
		p++;
	*rest = *p ? p + 1 : p;
	*p = 0;
	return *w ? w : 0;
}

void cmdline_parse(char *rest)
{
	char *w = next_word(&rest);
	int known;

	opt.cpus = 1;
	opt.port = 7;
	if (w && is_path(w))
		w = next_word(&rest);
	for (; w; w = next_word(&rest)) {
		known = word(w);
		if (known > 0)
			continue;
		if (!known)
			fail("cannot read the value of ", w);
		line("unknown word '");
		put(w);
		put("'\n");
	}
}
