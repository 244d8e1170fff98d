// SPDX-License-Identifier: Apache-2.0

package firecracker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

// Client talks to one Firecracker over its API socket.
type Client struct {
	socket string
	http   http.Client
	conn   net.Conn // the first one, made by Wait
}

// NewClient makes a client. Nothing is opened yet.
func NewClient(socket string) *Client {
	c := &Client{socket: socket}
	c.http.Transport = &http.Transport{DialContext: c.dial, MaxConnsPerHost: 1, DisableCompression: true}
	return c
}

// Close gives the connection back.
func (c *Client) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
	c.http.CloseIdleConnections()
}

// dial hands out the connection that Wait has made, and then makes others.
func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if conn := c.conn; conn != nil {
		c.conn = nil
		return conn, nil
	}
	path := c.socket
	if len(path) > socketPath {
		dir, err := os.Open(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		path = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

// socketPath is how long a socket's path may be, in bytes (unix(7)). A jail is deep;
// one in the way of a longer path is gone around by its folder.
const socketPath = 107

// poll is how often Wait tries the socket: the moment when it is there is known so
// finely.
const poll = 200 * time.Microsecond

// Wait returns when the API accepts a connection, at the latest after the timeout.
func (c *Client) Wait(ctx context.Context, timeout time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		conn, err := c.dial(context.WithoutCancel(ctx), "", "") // never waits
		if err == nil {
			c.conn = conn
			return nil
		}
		select {
		case <-waiting.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("the API socket %s was not there yet (%w)", c.socket, cause(err))
			}
			return fmt.Errorf("the API socket %s did not come within %v: %w", c.socket, timeout, cause(err))
		case <-tick.C:
		}
	}
}

// Version asks the API.
func (c *Client) Version(ctx context.Context) (Version, error) {
	call := Call{Method: http.MethodGet, Path: "/"}
	body, err := c.do(ctx, call)
	if err != nil {
		return Version{}, err
	}
	var info struct {
		Version string `json:"vmm_version"`
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return Version{}, fmt.Errorf("%s: %w", call, err)
	}
	v, err := ParseVersion(info.Version)
	if err != nil {
		return Version{}, fmt.Errorf("%s: vmm_version: %w", call, err)
	}
	return v, nil
}

// Do sends a request. An error of the API has its fault_message.
func (c *Client) Do(ctx context.Context, call Call) error {
	_, err := c.do(ctx, call)
	return err
}

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 64 << 10

// callTime is how long an answer may take. Firecracker answers in milliseconds; under
// emulation InstanceStart takes a second or two.
const callTime = 30 * time.Second

func (c *Client) do(ctx context.Context, call Call) ([]byte, error) {
	waiting, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	req, err := http.NewRequestWithContext(waiting, call.Method, "http://localhost"+call.Path, strings.NewReader(call.Body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", call, err)
	}
	req.Header.Set("Accept", "application/json")
	if call.Body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", call, c.noAnswer(ctx, err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode/100 != 2:
		return nil, fmt.Errorf("%s: %d: %s", call, resp.StatusCode, fault(body))
	case err != nil:
		return nil, fmt.Errorf("%s: %w", call, c.noAnswer(ctx, err))
	}
	return body, nil
}

// noAnswer says in few words why there was no answer.
func (c *Client) noAnswer(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return errors.New("not answered yet")
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v", callTime)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection was closed without an answer")
	}
	return cause(err)
}

// cause takes off what net and net/http put in front.
func cause(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		err = u.Err
	}
	if op := new(net.OpError); errors.As(err, &op) {
		err = op.Err
	}
	return err
}

// fault is what the API says is wrong: its fault_message, or else what it sent.
func fault(body []byte) string {
	var e struct {
		Fault string `json:"fault_message"`
	}
	if json.Unmarshal(body, &e) == nil && e.Fault != "" {
		return printable(e.Fault, 1000)
	}
	if text := printable(string(body), 200); text != "" {
		return text
	}
	return "(no reason given)"
}

// printable makes one line of at most that many characters.
func printable(text string, most int) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))), " ")
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}
