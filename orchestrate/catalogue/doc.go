// SPDX-License-Identifier: Apache-2.0

// Package catalogue reads the catalogue of images: a YAML file that says of each
// image which system, app and platforms it is for, where it is, how it was built and
// what makes it ready. A system that is in no Go file needs nothing but its entries
// there. The file is described in docs/catalogue.md.
//
// Parsing and finding are pure. Images makes local, verified files of what is found;
// for oci:// references it asks package oci. The package knows neither what a
// system's command line looks like nor what a platform is.
package catalogue
