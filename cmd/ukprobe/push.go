// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/remotewrite"
)

// pushEvery is how often at most a run pushes while it runs, and finalPush how long it tries to
// deliver the final figures, of a run that was interrupted less long.
const (
	pushEvery        = 15 * time.Second
	finalPush        = 15 * time.Second
	interruptedsPush = 3 * time.Second
)

// pushFlags are those of `run` about pushing.
func pushFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "push", Usage: "push the metrics to `URL` by Prometheus' remote write, between samples at least 15 s apart and at the end, e.g. http://127.0.0.1:9090/api/v1/write", EnvVars: []string{"UKPROBE_PUSH"}},
		&cli.StringFlag{Name: "push-config", Usage: "`FILE` with credentials and TLS for --push, in the format of Prometheus' <http_config>", EnvVars: []string{"UKPROBE_PUSH_CONFIG"}},
	}
}

// pusher makes what --push asks for, or nil. Nothing is sent yet.
func pusher(c *cli.Context, log logger) (*remotewrite.Pusher, error) {
	url, config := c.String("push"), c.String("push-config")
	if url == "" {
		if config != "" {
			return nil, errors.New("--push-config: needs --push URL")
		}
		return nil, nil
	}
	labels := map[string]string{"job": "ukprobe-push"}
	if name, err := os.Hostname(); err == nil {
		labels["instance"] = name
	}
	client, err := remotewrite.New(remotewrite.Settings{URL: url, Config: config, Agent: "ukprobe/" + Version(), Labels: labels})
	if err != nil {
		return nil, fmt.Errorf("--push: %w", err)
	}
	return &remotewrite.Pusher{Client: client, Every: pushEvery, Log: log.Log}, nil
}

// startPushing begins, if there is something to push.
func startPushing(p *remotewrite.Pusher, from prometheus.Gatherer) {
	if p != nil {
		p.Gatherer = from
		p.Start()
	}
}

// finishPushing delivers the final figures. What goes wrong has been said, and is no
// failure of the run.
func finishPushing(c *cli.Context, p *remotewrite.Pusher) {
	limit := finalPush
	if c.Err() != nil {
		limit = interruptedsPush
	}
	_ = p.Finish(context.WithoutCancel(c.Context), limit)
}
