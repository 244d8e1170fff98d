// SPDX-License-Identifier: Apache-2.0

package imagesize

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// errNotPacked says that something is in no compressed format that is known.
var errNotPacked = errors.New("not compressed in a known way")

// packers are the compressors of kernels and archives by their magic (scripts/
// extract-vmlinux of Linux, and the formats' own specifications).
var packers = []struct{ magic, name string }{
	{"\x1f\x8b", "gzip"}, {"\xfd7zXZ\x00", "xz"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"BZh", "bzip2"},
	{"\x02\x21\x4c\x18", "lz4"}, {"\x04\x22\x4d\x18", "lz4"}, {"\x5d\x00\x00", "lzma"}, {"\x89LZO", "lzo"},
}

// packerOf names the format that something begins in; "" if it is none that is known.
func packerOf(head []byte) string {
	for _, p := range packers {
		if bytes.HasPrefix(head, []byte(p.magic)) {
			return p.name
		}
	}
	return ""
}

// maxUnpacked bounds what one archive or kernel may unpack to, in bytes.
const maxUnpacked = 16 << 30

// unpacked reads what is compressed in r. It is an error wrapping errNotPacked if it is
// in no known format.
func unpacked(ctx context.Context, r *bufio.Reader) (io.ReadCloser, string, error) {
	head, _ := r.Peek(6)
	name := packerOf(head)
	out, err := unpacker(ctx, name, r)
	if err != nil {
		return nil, name, err
	}
	return struct {
		io.Reader
		io.Closer
	}{&bounded{r: out, left: maxUnpacked}, out}, name, nil
}

func unpacker(ctx context.Context, name string, r *bufio.Reader) (io.ReadCloser, error) {
	switch name {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err == nil {
			z.Multistream(false) // something else may follow
		}
		return z, err
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<30))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case "bzip2":
		return io.NopCloser(bzip2.NewReader(r)), nil
	case "lz4":
		return io.NopCloser(lz4.NewReader(r)), nil
	case "xz":
		return program(ctx, r, "xz", "--decompress", "--stdout", "--single-stream")
	case "lzma":
		return program(ctx, r, "xz", "--decompress", "--stdout", "--format=lzma")
	}
	return nil, fmt.Errorf("%w (it begins with %s)", errNotPacked, head(r))
}

func head(r *bufio.Reader) string {
	raw, _ := r.Peek(4)
	return fmt.Sprintf("%x", raw)
}

// bounded is a reader that fails after so many bytes.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("it unpacks to more than %d bytes", int64(maxUnpacked))
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// program unpacks by a program: Go has no xz with the x86 filter that kernels are packed
// with.
func program(ctx context.Context, r io.Reader, name string, args ...string) (io.ReadCloser, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%w: apt-get install xz-utils", err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = r, &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &output{cmd: cmd, out: out, said: &said}, nil
}

// output is what a program prints; its end is the program's.
type output struct {
	cmd  *exec.Cmd
	out  io.Reader
	said *bytes.Buffer
	over bool
}

func (o *output) Read(p []byte) (int, error) {
	n, err := o.out.Read(p)
	if !errors.Is(err, io.EOF) || o.over {
		return n, err
	}
	o.over = true
	if wait := o.cmd.Wait(); wait != nil {
		return n, fmt.Errorf("%s: %w: %s", o.cmd.Path, wait, strings.TrimSpace(o.said.String()))
	}
	return n, io.EOF
}

// Close ends a program that has not ended itself.
func (o *output) Close() error {
	if !o.over {
		o.over = true
		_ = o.cmd.Process.Kill()
		_ = o.cmd.Wait()
	}
	return nil
}
