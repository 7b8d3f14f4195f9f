package ingest

// LevelOfLine is what a line alone says about its level.
func LevelOfLine(line string) string { return levelOfLine(line) }
