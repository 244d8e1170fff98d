// SPDX-License-Identifier: Apache-2.0

package client

import "time"

const (
	// DefaultInterval is the time between the first two SYNs.
	DefaultInterval = 100 * time.Microsecond
	// LongestInterval is how long the time between two grows, unless it begins longer.
	LongestInterval = 10 * time.Millisecond
	// startTime is how long a start is waited for, of what is to be asked from before it on.
	startTime = time.Second
	// paceShare is the part of the time passed that the time between two SYNs is: 1/100.
	paceShare = 100
)

// pace is the time from a SYN to the next, so long after the first one: a fixed part
// of it, so that a service which is up within milliseconds is found as precisely, of its
// own time, as one that takes a second, and the slow one is not flooded. Until 10 ms have
// passed that is 100 SYNs, until 1 s 560, until 30 s 3,460.
func pace(shortest, passed time.Duration) time.Duration {
	return max(shortest, min(passed/paceShare, LongestInterval))
}

// passed is how long the service has had, at a time: since its start or, if that is not
// told or is not yet, since the first attempt. All in ns of CLOCK_MONOTONIC; started 0: a
// start that is to come.
func passed(now, first, started int64) time.Duration {
	switch {
	case started != 0:
		return time.Duration(now - max(first, started))
	case now-first < int64(startTime):
		return 0
	}
	return time.Duration(now - first)
}
