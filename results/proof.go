// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ProofOutcome is whether the reference guest proved that a guest's TSC is mapped
// rightly.
type ProofOutcome struct {
	Text string // what was shown
	Err  error  // why it was not
}

// referenceReady is the claim that the proof stands on.
const referenceReady = "reference_ready"

// Proof judges the reference guest's TSC at ready over all samples of a run:
//
//   - no sample has the guest read its clock after the host saw the byte that was
//     sent afterwards, beyond the error of the mapping;
//   - more than half of the samples agree (a guest that was preempted between the
//     reading and the byte does not);
//   - of each kind of control, mapped wrongly on purpose, more than half are off, of
//     those whose error is small enough for that, and there are such.
func Proof(f *File) ProofOutcome {
	var ready []Claim
	controls := map[int64][]Claim{}
	for i := range f.Cells {
		if f.Cells[i].System != "reference" {
			continue
		}
		for _, s := range f.Cells[i].Samples {
			for _, c := range s.Claims {
				if s.Status != SampleOK || c.Name != referenceReady {
					continue
				}
				if c.ControlNS == 0 {
					ready = append(ready, c)
				} else {
					controls[c.ControlNS] = append(controls[c.ControlNS], c)
				}
			}
		}
	}
	if err := proofOf(ready, controls); err != nil {
		return ProofOutcome{Err: err}
	}
	return ProofOutcome{Text: fmt.Sprintf("Proven: in %d of %d boots the reference guest's TSC at ready is, mapped, where the host saw it, and a mapping wrong by 1 ms is noticed.",
		countStatus(ready, ClaimAgrees), len(ready))}
}

func proofOf(ready []Claim, controls map[int64][]Claim) error {
	if len(ready) == 0 {
		return errors.New("the reference guest's ready line was not judged: it did not run")
	}
	for _, c := range ready {
		if c.OffNS == nil || c.ErrNS == nil {
			return fmt.Errorf("the guest's TSC cannot be mapped: %s", c.Reason)
		}
		if *c.OffNS > *c.ErrNS {
			return fmt.Errorf("a TSC that the guest read before it sent a byte is mapped to a time after it: %v beyond the error of %v",
				time.Duration(*c.OffNS-*c.ErrNS), time.Duration(*c.ErrNS))
		}
	}
	if n := countStatus(ready, ClaimAgrees); 2*n <= len(ready) {
		return fmt.Errorf("only %d of %d readings agree with the host: repeat with more samples, on a quieter machine", n, len(ready))
	}
	if len(controls) == 0 {
		return errors.New("there is no control: nothing shows that a wrong mapping would be noticed")
	}
	var shifts []int64
	for shift := range controls {
		shifts = append(shifts, shift)
	}
	slices.Sort(shifts)
	for _, shift := range shifts {
		var fit []Claim
		for _, c := range controls[shift] {
			if c.ErrNS != nil && 2**c.ErrNS < max(shift, -shift) {
				fit = append(fit, c)
			}
		}
		if len(fit) == 0 {
			return fmt.Errorf("the guest prints too slowly: a mapping that is wrong by %v is within the error: try it on a quieter machine", time.Duration(shift))
		}
		if n := countStatus(fit, ClaimOff); 2*n <= len(fit) {
			return fmt.Errorf("a mapping that is wrong by %v is noticed in only %d of %d boots: repeat with more samples, on a quieter machine", time.Duration(shift), n, len(fit))
		}
	}
	return nil
}

func countStatus(claims []Claim, status string) int {
	n := 0
	for _, c := range claims {
		if c.Status == status {
			n++
		}
	}
	return n
}
