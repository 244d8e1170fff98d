// SPDX-License-Identifier: Apache-2.0

// Package docker talks to a Docker Engine over its API, with the engine's own
// client module: it loads images, starts one container per sample, waits for it and
// removes it, and finds the container's first process while the runtime makes it.
//
// It finds the engine as docker does: DOCKER_HOST, DOCKER_API_VERSION,
// DOCKER_CERT_PATH and DOCKER_TLS_VERIFY, else the socket /var/run/docker.sock. The
// API version is negotiated, down to 1.40 (Docker 19.03); Debian 12's engine speaks
// 1.41. The engine has to run on this very host, since its containers are watched
// in this kernel.
//
// It does not know systems, platforms or experiments, and it measures nothing: what
// it tells by [Spec.Event] are times of user space.
package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// ErrNoEngine wraps what to do if no engine answers.
var ErrNoEngine = errors.New("no Docker Engine")

// ErrNoImage says that the engine does not have an image.
var ErrNoImage = errors.New("the engine has no such image")

// askTime bounds calls that an engine answers at once.
const askTime = 10 * time.Second

// Engine is a connection to an engine. It may be used by several goroutines.
type Engine struct {
	api  *client.Client
	host string
	// Description names the engine and its parts with their versions; "" until it was
	// asked, by [Connect].
	Description string
	driver      string // of cgroups; likewise
}

// Connect finds the engine of the environment and asks it for what it is. Without one
// that answers, the error wraps ErrNoEngine.
func Connect(ctx context.Context) (*Engine, error) {
	e, err := Dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.ask(ctx); err != nil {
		return nil, errors.Join(err, e.api.Close())
	}
	return e, nil
}

// Dial is Connect without the questions, which keep an engine busy: to look at all its
// storage, just before a container is timed.
func Dial(ctx context.Context) (*Engine, error) { return dial(ctx, client.FromEnv) }

func dial(ctx context.Context, opts ...client.Opt) (*Engine, error) {
	api, err := client.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: see DOCKER_HOST", ErrNoEngine, err)
	}
	e := &Engine{api: api, host: api.DaemonHost()}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	// By the ping the API version is agreed on, and its error is plain.
	if _, err := e.api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return nil, errors.Join(e.unreachable(err), api.Close())
	}
	return e, nil
}

// ask fills in what the engine says of itself.
func (e *Engine) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	v, err := e.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return e.unreachable(err)
	}
	info, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return e.unreachable(err)
	}
	e.driver = info.Info.CgroupDriver
	parts := []string{"Docker Engine " + v.Version, "API " + e.api.ClientVersion()}
	for _, c := range v.Components {
		if name := strings.ToLower(c.Name); name == "containerd" || name == "runc" {
			parts = append(parts, name+" "+c.Version)
		}
	}
	parts = append(parts, "storage "+info.Info.Driver, "cgroups by "+info.Info.CgroupDriver)
	e.Description = strings.Join(parts, ", ")
	return nil
}

func (e *Engine) unreachable(err error) error {
	return fmt.Errorf("%w at %s: %w: start it, or set DOCKER_HOST", ErrNoEngine, e.host, err)
}

// Host is where the engine is, as in DOCKER_HOST.
func (e *Engine) Host() string { return e.host }

// Close gives the connections back.
func (e *Engine) Close() error { return e.api.Close() }

// Usable says why containers of this engine cannot be watched; nil if they can.
func (e *Engine) Usable() error {
	switch {
	case !strings.HasPrefix(e.host, "unix://"):
		return fmt.Errorf("the engine at %s is not reached by a Unix socket: it has to run on this host, whose kernel sees its containers", e.host)
	case e.driver != "cgroupfs":
		return fmt.Errorf("the engine manages cgroups by %q: ukprobe places containers below a cgroup of its own, which only the driver cgroupfs does: start dockerd with --exec-opt native.cgroupdriver=cgroupfs", e.driver)
	}
	return inHostNamespace()
}

// hostCgroupNS is the inode number of the first cgroup namespace
// (PROC_CGROUP_INIT_INO of Linux, include/linux/proc_ns.h).
const hostCgroupNS = 0xeffffffb

// inHostNamespace says why paths of cgroups that the engine is told would not be
// those that this process sees.
func inHostNamespace() error {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/cgroup", &st); err != nil {
		return fmt.Errorf("/proc/self/ns/cgroup: %w", err)
	}
	if st.Ino != hostCgroupNS {
		return errors.New("ukprobe is in a cgroup namespace of its own: run it on the host, or in a container with --cgroupns host")
	}
	return nil
}

// Image is an image that the engine has.
type Image struct {
	ID     string   // such as sha256:…
	Tags   []string // its references
	Layers []string // diff IDs, which tell the content whatever the engine's image store calls it
	Size   int64    // bytes
	Cmd    []string // what it runs by itself
	// Folders are where the engine keeps the layers' files, on this machine; nil if that
	// is not known.
	Folders []string
}

// Find looks an image up by reference or ID. One that the engine does not have is
// an error that wraps ErrNoImage.
func (e *Engine) Find(ctx context.Context, ref string) (Image, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	r, err := e.api.ImageInspect(ctx, ref)
	if errdefs.IsNotFound(err) {
		return Image{}, fmt.Errorf("%w: %s: pull or load it first (docker pull, docker load), or see `docker image ls`", ErrNoImage, ref)
	}
	if err != nil {
		return Image{}, e.failed("inspect image "+ref, err)
	}
	out := Image{ID: r.ID, Tags: r.RepoTags, Layers: r.RootFS.Layers, Size: r.Size}
	if r.Config != nil {
		out.Cmd = append(append(out.Cmd, r.Config.Entrypoint...), r.Config.Cmd...)
	}
	if g := r.GraphDriver; g != nil {
		out.Folders = layerFolders(g.Name, g.Data)
	}
	return out, nil
}

// layerFolders are those of an image in the storage driver overlay2, which tells them. An
// engine with containerd's image store does not. Those that are not there are another
// machine's, or another mount namespace's.
func layerFolders(driver string, data map[string]string) []string {
	if driver != "overlay2" || data["UpperDir"] == "" {
		return nil
	}
	out := []string{data["UpperDir"]}
	if lower := data["LowerDir"]; lower != "" {
		out = append(out, strings.Split(lower, ":")...)
	}
	for _, dir := range out {
		if st, err := os.Stat(dir); err != nil || !st.IsDir() {
			return nil
		}
	}
	return out
}

// failed words the error of a call. An engine that has gone, or does not answer in time,
// is ErrNoEngine.
func (e *Engine) failed(what string, err error) error {
	gone := client.IsErrConnectionFailed(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w at %s that answers in time: %w: see its log, and restart it", what, ErrNoEngine, e.host, err)
	}
	if gone {
		return fmt.Errorf("%s: %w", what, e.unreachable(err))
	}
	return fmt.Errorf("%s: the engine at %s says: %w", what, e.host, err)
}
