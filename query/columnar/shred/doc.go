// Package shred turns the texts of a block into columns and back, byte by byte.
//
// Lines that a program writes are a few templates and many variables. An Encoder
// splits each line into static text and variables (tokenize.go), gathers the lines
// of equal static text under one template (lines.go), and stores the variables of
// a template column by column (values.go): ids as packed bytes, integers and
// clocks as small numbers, enumerations as dictionaries, everything else as text.
// A variable that repeats a field of its row, as a trace id does, costs nothing.
//
// Nothing is assumed of the texts: what fits no template is kept as it is, and
// every line comes back exactly, whatever its bytes. A reader can decide a filter on
// the templates and the dictionaries, and rebuild only the lines that are left.
//
// The package is pure: it knows neither files nor compression. It imports only the
// standard library, and only query/columnar imports it.
package shred
