// SPDX-License-Identifier: Apache-2.0

// Package bpf holds the programs that run in the kernel, as C source, and
// beside them what bpf2go makes of it: the object files and their Go bindings.
// Both are committed; `make generate` rebuilds them and CI checks that nothing
// changes.
//
// The package knows no policy: which program is attached where, and what its
// numbers mean, is package probe's business.
package bpf

//go:generate go tool bpf2go -target amd64 -cc clang-14 -strip llvm-strip-14 -cflags "-O2 -g -Wall -Werror -mcpu=v3" -no-global-types -type mark_kind -type hook -type counter -type record_kind -type record -type slot -type mark -type target -type device_key -type device -type counters -type hist -type pio_key -type vcpu_state -type segment -type line -type span -type parts -type per_cpu -type config KVM kvm.bpf.c
//go:generate go tool bpf2go -target amd64 -cc clang-14 -strip llvm-strip-14 -cflags "-O2 -g -Wall -Werror -mcpu=v3" -no-global-types Proc proc.bpf.c
//go:generate go tool bpf2go -target amd64 -cc clang-14 -strip llvm-strip-14 -cflags "-O2 -g -Wall -Werror -mcpu=v3" -no-global-types -type flow_kind -type flow_side -type flow_state -type flow_unparsed -type flow_key -type flow -type flow_counts -type flow_guest Net net.bpf.c
//go:generate go tool bpf2go -target amd64 -cc clang-14 -strip llvm-strip-14 -cflags "-O2 -g -Wall -Werror -mcpu=v3" -no-global-types -type tsc_state -type tsc_change Clock clock.bpf.c
//go:generate go tool bpf2go -target amd64 -cc clang-14 -strip llvm-strip-14 -cflags "-O2 -g -Wall -Werror -mcpu=v3" -no-global-types -type source_kind -type source_key -type source_time -type cpu_time -type stretch -type edge Interference interference.bpf.c
//go:generate go tool bpf2go -target amd64 -cc clang-14 -strip llvm-strip-14 -cflags "-O2 -g -Wall -Werror -mcpu=v3" -no-global-types -type address_kind -type addresses Addresses addresses.bpf.c
//go:generate go tool bpf2go -target amd64 -cc clang-14 -strip llvm-strip-14 -cflags "-O2 -g -Wall -Werror -mcpu=v3" -no-global-types -type disk_op -type disk_count -type disk_call -type disk_note Disk disk.bpf.c
//go:generate go tool bpf2go -target amd64 -cc clang-14 -strip llvm-strip-14 -cflags "-O2 -g -Wall -Werror -mcpu=v3" -no-global-types HistTest hist_test.bpf.c
