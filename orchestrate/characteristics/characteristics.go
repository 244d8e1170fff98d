// SPDX-License-Identifier: Apache-2.0

// Package characteristics holds what is known of each system from its own project:
// platforms, languages, optimisations, applications, C library and binary
// compatibility, each fact with its source.
//
// These are the projects' words, read on the dates and commits that the sources name.
// What ukprobe itself has seen a system do is in docs/verified.md, what it drives in
// package system; neither is repeated here.
package characteristics

// Fact is something that a source says. A fact without sources is missing, and its
// text says why.
type Fact struct {
	Text    string   `json:"text"`
	Sources []string `json:"sources,omitempty"` // keys of Sources
}

// Missing says whether no source states it.
func (f Fact) Missing() bool { return len(f.Sources) == 0 }

// System is one row of the table.
type System struct {
	Name          string `json:"system"`
	Platforms     Fact   `json:"platforms"`
	Languages     Fact   `json:"languages"`
	LinkTime      Fact   `json:"optimisations_at_link_time"`
	CompileTime   Fact   `json:"optimisations_at_compile_time"`
	RunTime       Fact   `json:"optimisations_at_run_time"`
	Applications  Fact   `json:"applications"`
	CLibrary      Fact   `json:"c_library"`
	Compatibility Fact   `json:"binary_compatibility"`
}

// Row is one characteristic of a system.
type Row struct {
	Name string
	Fact Fact
}

// Rows lists a system's characteristics, in the order of the table.
func (s System) Rows() []Row {
	return []Row{
		{"platforms", s.Platforms}, {"languages", s.Languages},
		{"optimisations, link time", s.LinkTime}, {"optimisations, compile time", s.CompileTime}, {"optimisations, run time", s.RunTime},
		{"applications", s.Applications}, {"C library", s.CLibrary}, {"binary compatibility", s.Compatibility},
	}
}

// Source is where facts were read.
type Source struct {
	Key   string `json:"key"`
	Title string `json:"title"`
	Where string `json:"where"`
}
