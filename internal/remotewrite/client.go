// SPDX-License-Identifier: Apache-2.0

package remotewrite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/klauspost/compress/s2"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/config"
)

// Client sends to one receiver.
type Client struct {
	url     *url.URL
	http    *http.Client
	agent   string
	labels  map[string]string
	classic atomic.Bool // the receiver takes no native histograms
}

// Settings are what a Client is made of.
type Settings struct {
	URL string // of the receiver: http://HOST:9090/api/v1/write of a Prometheus
	// Config is a file with credentials and TLS, in the format of Prometheus' HTTP
	// clients (<http_config>); "" for neither.
	Config string
	Agent  string            // what it is called, with its version
	Labels map[string]string // on every series that has none of that name
}

// What a receiver says by another status than 2xx. By the protocol what was refused (4xx
// but for 429, and here redirections) must not be sent again: it would be refused again.
// What cannot be taken now (5xx, 429) may be.
var (
	ErrRefused = errors.New("refused")
	ErrNotNow  = errors.New("not now")
)

// New makes a Client; nothing is sent yet, and no error has the URL's password in it.
// Credentials are read from their files anew whenever they are needed.
func New(s Settings) (*Client, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		var bad *url.Error // quotes the URL, and with it a password
		if errors.As(err, &bad) {
			err = bad.Err
		}
		return nil, fmt.Errorf("the URL cannot be read: %w", err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("%s: want http://HOST:PORT/PATH or https://…, for Prometheus http://HOST:9090/api/v1/write", u.Redacted())
	case u.User != nil:
		return nil, fmt.Errorf("%s: others can read a command line: put user and password into a file", u.Redacted())
	}
	c := &Client{url: u, agent: s.Agent, labels: s.Labels}
	settings := &config.HTTPClientConfig{}
	if s.Config != "" {
		if settings, _, err = config.LoadHTTPConfigFile(s.Config); err != nil {
			return nil, fmt.Errorf("read %s: %w", s.Config, err)
		}
		settings.SetDirectory(filepath.Dir(s.Config))
	}
	settings.FollowRedirects = false // what is posted would become a GET
	if c.http, err = config.NewClientFromConfig(*settings, "push"); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Config, err)
	}
	return c, nil
}

// String is the receiver's address, without any secret of a query.
func (c *Client) String() string {
	u := *c.url
	u.RawQuery, u.Fragment = "", ""
	return u.String()
}

// Send delivers metrics as of a moment. A receiver that has native histograms switched
// off gets classic ones, from then on. What the receiver has against it is [ErrRefused] or
// [ErrNotNow]; other errors are of the way there.
func (c *Client) Send(ctx context.Context, families []*dto.MetricFamily, at time.Time) error {
	err := c.send(ctx, families, at)
	if errors.Is(err, errNoNative) && c.classic.CompareAndSwap(false, true) {
		return c.send(ctx, families, at)
	}
	return err
}

// Classic tells whether the receiver was found to take no native histograms.
func (c *Client) Classic() bool { return c.classic.Load() }

func (c *Client) send(ctx context.Context, families []*dto.MetricFamily, at time.Time) error {
	for _, body := range (Encoding{Labels: c.labels, Classic: c.classic.Load()}).Requests(families, at) {
		if err := c.post(ctx, s2.EncodeSnappy(nil, body)); err != nil {
			return err
		}
	}
	return nil
}

// errNoNative: the receiver says that it has native histograms switched off.
var errNoNative = errors.New("no native histograms")

// maxAnswer is how much of a receiver's words is read.
const maxAnswer = 4096

func (c *Client) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	for k, v := range map[string]string{"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
		"X-Prometheus-Remote-Write-Version": "0.1.0", "User-Agent": c.agent} {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var bad *url.Error // has the URL in it, with its query
		if errors.As(err, &bad) {
			err = bad.Err
		}
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // best effort: the status says it all
	if resp.StatusCode/100 == 2 {
		return nil
	}
	return refusal(resp, string(text))
}

// refusal says what the receiver has against it, and what to do.
func refusal(resp *http.Response, text string) error {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text = strings.Map(printable, text)
	status := strings.Map(printable, resp.Status)
	what := strings.TrimSpace(status + ": " + text)
	switch {
	case strings.Contains(text, "native histograms are disabled"):
		return fmt.Errorf("%w: %w: %s: start it with --enable-feature=native-histograms", ErrRefused, errNoNative, what)
	case strings.Contains(text, "remote write receiver needs to be enabled"):
		return fmt.Errorf("%w: %s", ErrRefused, what)
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w: %s: are the credentials right?", ErrRefused, what)
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed:
		return fmt.Errorf("%w: %s: is the path right? Prometheus' is /api/v1/write, with --web.enable-remote-write-receiver", ErrRefused, what)
	case resp.StatusCode/100 == 3:
		return fmt.Errorf("%w: %s: it is elsewhere: %s", ErrRefused, status, strings.Map(printable, resp.Header.Get("Location")))
	case resp.StatusCode/100 == 5 || resp.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%w: %s", ErrNotNow, what)
	}
	return fmt.Errorf("%w: %s", ErrRefused, what)
}

func printable(r rune) rune {
	if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
		return '?'
	}
	return r
}
