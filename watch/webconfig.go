// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
)

// CheckWebConfig reads a web configuration file, and the certificate and the key
// that it names.
func CheckWebConfig(path string) error {
	if err := web.Validate(path); err != nil {
		return fmt.Errorf("--web-config %s: %w", path, err)
	}
	return nil
}

// CheckWebConfigAs is CheckWebConfig after privileges were given up: the toolkit
// reads the files anew for every connection.
func CheckWebConfigAs(path string, p Privileges) error {
	if err := CheckWebConfig(path); err != nil {
		return fmt.Errorf("%w: that is as uid %d with the capabilities %s, and the files are read anew for every connection: "+
			"make the file, and the certificate and the key that it names, readable for that user (chown, chmod), "+
			"name another with --user, or give --keep-privileges", err, p.UID, p.Caps)
	}
	return nil
}

// repeatWarning is how long the same error of a web configuration is not told again.
const repeatWarning = time.Minute

// webConfigWatch takes the lines that net/http logs. Those of failed handshakes
// are the clients' affair, unless the web configuration has become invalid, for
// then every one fails: the toolkit tells nobody else.
type webConfigWatch struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	mu   sync.Mutex
	told string // the error
	when time.Time
}

// Write implements io.Writer for a log.Logger: a line at a time.
func (w *webConfigWatch) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	w.log.Debug(text)
	if w.path != "" && strings.Contains(text, "TLS handshake error") {
		w.check(text)
	}
	return len(line), nil
}

// noTLS is what the toolkit says of a file that had TLS and has none any more. To
// Validate that is no error.
const noTLS = "TLS config is not present"

func (w *webConfigWatch) check(line string) {
	err := web.Validate(w.path)
	if err == nil && strings.HasSuffix(line, noTLS) {
		err = errors.New(noTLS + ", as there was at the start")
	}
	if err == nil {
		return // the client's affair
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if err.Error() == w.told && now.Sub(w.when) < repeatWarning {
		return
	}
	w.told, w.when = err.Error(), now
	w.log.Warn("the web configuration has become invalid: connections fail until it is mended", "web_config", w.path, "err", err)
}
