// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fio is the app that reads and writes in experiment fs.
const Fio = "fio"

// Lines of fio's console, each at a line's beginning: what it prints after its work is
// between FioResults and FioOver.
const (
	FioFailed  = "ukprobe-fio: FAILED"
	FioResults = "ukprobe-fio: results"
	FioOver    = "ukprobe-fio: over"
)

// FioPause is how long it waits between its ready line and its first job, so that who
// counts its reads and writes from outside can begin before them.
const FioPause = 2 * time.Second

// ScratchFile is the file to work on of an app that has no disk, in its root.
const ScratchFile = "/scratch"

// FioJob says what the app fio does once it is ready: for each block size one job after
// the other of [FioKinds].
type FioJob struct {
	File             string // a block device, or a file
	BlockBytes       []int
	Duration, Warmup time.Duration // of each job
	Requests         int           // reads or writes of each job, in place of a duration; 0: by duration
	Depth            int           // reads or writes on their way
}

// FioKinds are the jobs, by the beginning of their name, with what of fio they ask. The
// block size follows, after a dash.
var FioKinds = []string{"randread", "read", "randwrite", "write", "fsync"}

// String is the job as one word, without a dot: the kernel gives words of its command
// line that have one to no program.
func (j FioJob) String() string {
	sizes := make([]string, len(j.BlockBytes))
	for i, n := range j.BlockBytes {
		sizes[i] = strconv.Itoa(n)
	}
	return fmt.Sprintf("%s:%s:%d:%d:%d:%d", j.File, strings.Join(sizes, ","), j.Duration.Milliseconds(), j.Warmup.Milliseconds(), j.Requests, j.Depth)
}

// Word gives the job to the app, as a word of a kernel's command line or in its
// environment: the kernel makes a variable of the first process of a word that it does
// not know.
func (j FioJob) Word() string { return "ukprobe_fio=" + j.String() }

// Argv is the app's command with the job.
func (j FioJob) Argv() []string { return append(slices.Clone(apps[Fio].argv), j.String()) }

// fioPackages are of fio and its libraries: Debian links it with each storage that it
// can work on, Ceph's and GlusterFS's too.
var fioPackages = slices.Concat([]string{"fio", busyboxPackage, "libacl1", "libaio1", "libargon2-1", "libblkid1", "libboost-iostreams1.74.0",
	"libboost-thread1.74.0", "libbz2-1.0", "libcom-err2", "libcryptsetup12", "libdaxctl1", "libdevmapper1.02.1", "libffi8", "libfmt9",
	"libgcc-s1", "libgfapi0", "libgfrpc0", "libgfxdr0", "libglusterfs0", "libgmp10", "libgnutls30", "libgssapi-krb5-2", "libhogweed6",
	"libibverbs1", "libicu72", "libidn2-0", "libjson-c5", "libk5crypto3", "libkeyutils1", "libkmod2", "libkrb5-3", "libkrb5support0",
	"libnbd0", "libndctl6", "libnettle8", "libnl-3-200", "libnl-route-3-200", "libnuma1", "libp11-kit0", "libpcre2-8-0", "libpmem1",
	"libpmemblk1", "librados2", "librbd1", "librdmacm1", "libselinux1", "libstdc++6", "libtasn1-6", "libtirpc3", "libudev1",
	"libunistring2", "libuuid1", "libxml2", "zlib1g"}, openssl, []string{"libcap2", "liblzma5", "libzstd1"})
