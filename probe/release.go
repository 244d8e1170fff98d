// SPDX-License-Identifier: Apache-2.0

package probe

// Release gives back the on-demand hooks that this guest still holds: once its
// timeline is whole they only cost the host. What they would have told later (a
// console by write(2), for example) is not seen any more. It may be called more
// than once; Close does the same.
func (w *Watch) Release() error { return w.releaseAll() }
