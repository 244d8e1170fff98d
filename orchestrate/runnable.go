// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	"github.com/ukprobe/ukprobe/orchestrate/docker"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// Runnable says whether this machine can run a system on a platform now.
type Runnable struct {
	System   string   `json:"system"`
	Platform string   `json:"platform"`
	Apps     []string `json:"apps,omitempty"`   // that can be run
	Reason   string   `json:"reason,omitempty"` // why not, if there are none
}

// CanRun asks this machine for every system on each of its platforms. It builds,
// pulls and starts nothing; an image that a catalogue names need not be there.
func CanRun(ctx context.Context, images *catalogue.Images) []Runnable {
	ask := readiness{ctx: ctx, images: images, host: platform.DetectHost()}
	var out []Runnable
	for _, s := range system.All(system.Env{Images: images}) {
		for _, name := range s.Platforms() {
			r := Runnable{System: s.Name(), Platform: name}
			var err error
			if r.Apps, err = ask.apps(s, name); err != nil {
				r.Reason = strings.TrimPrefix(err.Error(), system.ErrUnsupported.Error()+": ")
			}
			out = append(out, r)
		}
	}
	return out
}

// readiness is what the questions share.
type readiness struct {
	ctx    context.Context
	images *catalogue.Images
	host   platform.Host
	engine *error // of Docker, once it was asked
}

// apps are those of a system that can be run on a platform, or why there are none.
func (r *readiness) apps(s system.System, name string) ([]string, error) {
	p, err := platform.Find(name)
	if err != nil {
		return nil, err
	}
	if err := r.program(p); err != nil {
		return nil, err
	}
	var apps []string
	var why error
	for _, app := range s.Apps() {
		if err := r.app(s, p, app); err != nil {
			if why == nil {
				why = err
			}
			continue
		}
		apps = append(apps, app)
	}
	if len(apps) > 0 {
		return apps, nil
	}
	return nil, why
}

func (r *readiness) program(p platform.Platform) error {
	if p.Name() == catalogue.Docker {
		return r.docker()
	}
	if p.Program() == "" {
		return nil
	}
	if _, err := exec.LookPath(p.Program()); err != nil {
		return fmt.Errorf("missing program %s: `ukprobe doctor` says where to get it", p.Program())
	}
	return nil
}

// docker asks the engine, once.
func (r *readiness) docker() error {
	if r.engine == nil {
		e, err := docker.Connect(r.ctx)
		if err == nil {
			err = e.Usable()
			_ = e.Close()
		}
		r.engine = &err
	}
	return *r.engine
}

// ownImages are the systems whose images ukprobe has or builds.
var ownImages = []string{"reference", "linux", "lupine", "process", "docker"}

// errNoImage is where a cell names no image, and nobody has one.
var errNoImage = fmt.Errorf("%w: name one in the catalogue, or in the cell (kernel:)", system.ErrNoImage)

func (r *readiness) app(s system.System, p platform.Platform, app string) error {
	if err := system.Supports(s, system.Want{App: app, Platform: p.Name()}); err != nil {
		return err
	}
	if _, ok := r.images.Find(s.Name(), app, p.Name()); !ok && !slices.Contains(ownImages, s.Name()) {
		return errNoImage
	}
	b := s.Describe(system.Want{App: app, Platform: p.Name(), Settings: matrix.DefaultSettings()})
	if err := wired(app, b, p); err != nil {
		return err
	}
	_, err := p.Accel(matrix.AccelAuto, b, r.host)
	return err
}
