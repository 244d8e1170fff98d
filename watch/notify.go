// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notifier tells the service manager how things are (sd_notify(3)). Without
// NOTIFY_SOCKET in the environment it does nothing.
type Notifier struct {
	log      *slog.Logger
	watchdog time.Duration // half of what the manager waits; 0: it does not
	now      func() time.Time
	status   string
	told     time.Time // when the manager last heard that we live
	stated   time.Time // when it last heard a status
}

// beatSlack: the beats come every second, so that one that comes just before its
// time must not be passed over.
const beatSlack = 500 * time.Millisecond

// NewNotifier makes one.
func NewNotifier(log *slog.Logger) *Notifier {
	n := &Notifier{log: log, now: time.Now}
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the service manager's watchdog", "err", err)
	}
	n.watchdog = limit / 2
	return n
}

func (n *Notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("notify the service manager", "err", err)
	}
}

// Ready says that everything is attached and served.
func (n *Notifier) Ready(status string) {
	n.status, n.told, n.stated = status, n.now(), n.now()
	n.send(daemon.SdNotifyReady + "\nSTATUS=" + status)
}

// Beat is to be called about every second by what must not hang. It tells the
// watchdog as often as it wants, and a status that has changed at most every five
// seconds.
func (n *Notifier) Beat(status string) {
	now := n.now()
	if n.watchdog > 0 && now.Sub(n.told) >= n.watchdog-beatSlack {
		n.told = now
		n.send(daemon.SdNotifyWatchdog)
	}
	if status != n.status && now.Sub(n.stated) >= 5*time.Second {
		n.status, n.stated = status, now
		n.send("STATUS=" + status)
	}
}

// Stopping says that the end has begun.
func (n *Notifier) Stopping() { n.send(daemon.SdNotifyStopping) }

// Status is a Watcher's state in a line.
func (t Totals) Status() string {
	text := fmt.Sprintf("watching %d VMs (at most %d), %d seen", t.Running, t.MaxVMs, t.Seen)
	if t.PassedOver > 0 {
		text += fmt.Sprintf(", %d passed over by the filter", t.PassedOver)
	}
	if t.NotWatched > 0 {
		text += fmt.Sprintf(", %d not watched for want of room", t.NotWatched)
	}
	return text
}
