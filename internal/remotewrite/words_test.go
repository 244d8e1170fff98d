// SPDX-License-Identifier: Apache-2.0

package remotewrite

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestWordsOfAReceiver: whatever a receiver answers is told in a line that a person reads,
// and that a terminal does not act on.
func TestWordsOfAReceiver(t *testing.T) {
	long := strings.Repeat("R", 60000)
	for name, tt := range map[string]struct{ answer, want string }{
		"reason":   {"HTTP/1.1 400 " + long + "\r\nContent-Length: 0\r\n\r\n", "refused: 400 RRR"},
		"body":     {"HTTP/1.1 400 Bad\r\nContent-Length: 60000\r\n\r\n" + long, "refused: 400 Bad: RRR"},
		"location": {"HTTP/1.1 301 Moved\r\nLocation: http://" + long + "\r\nContent-Length: 0\r\n\r\n", "it is elsewhere: http://RRR"},
		"escapes":  {"HTTP/1.1 500 \x1b[2J\xff\r\nContent-Length: 4\r\n\r\n\x1b[2J", "500 ?[2J?: ?[2J"},
		"no HTTP":  {long + "\x1b\r\n\r\n", "malformed HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, tt.answer)
				}
			}()
			c, err := New(Settings{URL: fmt.Sprintf("http://%s/api", l.Addr())})
			if err != nil {
				t.Fatal(err)
			}
			err = c.Send(t.Context(), metrics(t), time.Now())
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 3*maxWords ||
				strings.ContainsAny(err.Error(), "\x1b\n\r") || !utf8.ValidString(err.Error()) {
				t.Errorf("%.300q: want %q", fmt.Sprint(err), tt.want)
			}
		})
	}
}
