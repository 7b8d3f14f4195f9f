// Package process starts programs that outlive the command that started them,
// and finds, inspects and stops them again later.
//
// Each program has a name that is unique within one folder: its output goes to
// DIR/log/NAME.log and what identifies it to DIR/run/NAME.json. A process is
// identified by its id and the time it started, because an id alone may have
// been given to somebody else's process since.
//
// It imports nothing of devcluster; controlplane, fleet, node and cluster
// import it.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxLogBytes is the size from which a log is put aside (as NAME.log.1) when
// its program is started again, so that two files of about this size bound what
// restarts leave behind.
const maxLogBytes = 16 << 20

// pollInterval is how often a wait looks again.
const pollInterval = 50 * time.Millisecond

// Spec says how to run a program.
type Spec struct {
	// Name identifies the program within its Table.
	Name string
	// Path is the program's file.
	Path string
	// Args are the arguments after the program's name.
	Args []string
	// Env is added to the environment of the caller.
	Env []string
	// NetNS is the file of a network namespace to run in; empty for the
	// caller's own. Linux only, needs root.
	NetNS string
	// Attr holds platform options such as new namespaces; may be nil. Setsid is
	// always added.
	Attr *syscall.SysProcAttr
	// Files are handed to the program as descriptors 3, 4, ….
	Files []*os.File
}

// Record is what a Table remembers of a program that it started. It is stored
// as JSON.
type Record struct {
	// Name is Spec.Name.
	Name string `json:"name"`
	// PID is the id of the process, in the namespace of the caller of Start.
	PID int `json:"pid"`
	// StartTime identifies the process together with PID. Its form depends on
	// the platform; it is only ever compared.
	StartTime string `json:"startTime"`
	// Command is the program's file and its arguments.
	Command []string `json:"command"`
	// NetNS is Spec.NetNS.
	NetNS string `json:"netns,omitempty"`
	// Started is the time of the start.
	Started time.Time `json:"started"`
}

// Alive says whether the recorded process still runs. A zombie does not.
func (r Record) Alive() bool {
	if r.PID <= 0 {
		return false
	}
	started, err := startTime(r.PID)
	return err == nil && started == r.StartTime
}

// matches says whether the recorded process was started as spec would be.
func (r Record) matches(spec Spec) bool {
	return r.NetNS == spec.NetNS && slices.Equal(r.Command, append([]string{spec.Path}, spec.Args...))
}

// Table is the programs of one folder. Its methods may be used concurrently for
// different names; the same name needs a lock around them.
type Table struct {
	dir string
}

// NewTable returns the table kept in dir, which need not exist yet.
func NewTable(dir string) Table { return Table{dir: dir} }

// LogFile returns the path of a program's log.
func (t Table) LogFile(name string) string { return filepath.Join(t.dir, "log", name+".log") }

func (t Table) recordFile(name string) string { return filepath.Join(t.dir, "run", name+".json") }

// Get returns what is known of a program, and whether anything is.
func (t Table) Get(name string) (Record, bool, error) {
	data, err := os.ReadFile(t.recordFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, fmt.Errorf("read record of process %s: %w", name, err)
	}
	var record Record
	if err := json.Unmarshal(data, &record); err != nil {
		return Record{}, false, fmt.Errorf("read record of process %s: %w", name, err)
	}
	return record, true, nil
}

// List returns all records, sorted by name.
func (t Table) List() ([]Record, error) {
	entries, err := os.ReadDir(filepath.Join(t.dir, "run"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var records []Record
	for _, entry := range entries {
		name, isRecord := strings.CutSuffix(entry.Name(), ".json")
		if !isRecord {
			continue
		}
		record, found, err := t.Get(name)
		if err != nil {
			return nil, err
		}
		if found {
			records = append(records, record)
		}
	}
	return records, nil
}

// Ensure runs the program unless it already runs in exactly this form; one that
// runs in another form (other flags, another binary) is stopped first. It
// reports whether it started a process.
func (t Table) Ensure(ctx context.Context, spec Spec) (started bool, err error) {
	record, found, err := t.Get(spec.Name)
	if err != nil {
		return false, err
	}
	if found && record.Alive() {
		if record.matches(spec) {
			return false, nil
		}
		if err := t.Stop(ctx, spec.Name, 10*time.Second); err != nil {
			return false, err
		}
	}
	_, err = t.Start(spec)
	return err == nil, err
}

// Runs says whether the program runs in exactly this form.
func (t Table) Runs(spec Spec) (bool, error) {
	record, found, err := t.Get(spec.Name)
	return found && record.Alive() && record.matches(spec), err
}

// Start runs the program in a session of its own, its output going to its log,
// and records it. The process survives the caller.
func (t Table) Start(spec Spec) (Record, error) {
	log, err := t.openLog(spec.Name)
	if err != nil {
		return Record{}, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer log.Close()

	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Dir = t.dir
	cmd.ExtraFiles = spec.Files
	cmd.SysProcAttr = spec.Attr
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
	if err := startIn(spec.NetNS, cmd); err != nil {
		return Record{}, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	// Reap it should it die while the caller still lives; afterwards it is the
	// init process's child.
	identity, identityErr := startTime(cmd.Process.Pid)
	go func() { _ = cmd.Wait() }()
	if identityErr != nil {
		return Record{}, fmt.Errorf("start %s: it ended at once: %w; %s", spec.Name, identityErr, t.tail(spec.Name))
	}

	record := Record{
		Name:      spec.Name,
		PID:       cmd.Process.Pid,
		StartTime: identity,
		Command:   append([]string{spec.Path}, spec.Args...),
		NetNS:     spec.NetNS,
		Started:   time.Now().UTC().Truncate(time.Millisecond),
	}
	if err := t.save(record); err != nil {
		_ = cmd.Process.Kill() // Nobody would find it again.
		return Record{}, err
	}
	return record, nil
}

func (t Table) openLog(name string) (*os.File, error) {
	path := t.LogFile(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	// Appending lets anybody truncate a log that a running program writes.
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

func (t Table) save(record Record) error {
	data, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return fmt.Errorf("record process %s: %w", record.Name, err)
	}
	path := t.recordFile(record.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("record process %s: %w", record.Name, err)
	}
	if err := os.WriteFile(path+".tmp", append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("record process %s: %w", record.Name, err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("record process %s: %w", record.Name, err)
	}
	return nil
}

// Stop asks the program to end, kills it when it has not ended within grace (at
// once when grace is zero), and forgets it. It is no error when the program
// does not run.
func (t Table) Stop(ctx context.Context, name string, grace time.Duration) error {
	record, found, err := t.Get(name)
	if err != nil || !found {
		return err
	}
	if grace > 0 && record.Alive() {
		_ = syscall.Kill(record.PID, syscall.SIGTERM)
		waitCtx, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		_ = waitDead(waitCtx, record) // What is left is killed below.
	}
	if record.Alive() {
		_ = syscall.Kill(record.PID, syscall.SIGKILL)
	}
	if err := waitDead(ctx, record); err != nil {
		return fmt.Errorf("stop %s (process %d): %w", name, record.PID, err)
	}
	if err := os.Remove(t.recordFile(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	return nil
}

func waitDead(ctx context.Context, record Record) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for record.Alive() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// WaitFor polls ready until it reports true. It gives up when ctx is done, and
// as soon as one of the named programs has died, with the end of that program's
// log in the error. An error of ready means "not yet" and is reported only if
// that never changes.
func (t Table) WaitFor(ctx context.Context, names []string, ready func(context.Context) (bool, error)) error {
	ticker := time.NewTicker(2 * pollInterval)
	defer ticker.Stop()
	var last error
	for {
		ok, err := ready(ctx)
		if ok {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		for _, name := range names {
			record, found, err := t.Get(name)
			if err != nil {
				return err
			}
			if !found || !record.Alive() {
				return fmt.Errorf("%s has ended; %s", name, t.tail(name))
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), last)
		case <-ticker.C:
		}
	}
}

// tail describes the end of a program's log in one paragraph.
func (t Table) tail(name string) string {
	const most = 2000
	path := t.LogFile(name)
	file, err := os.Open(path)
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > most {
		_, _ = file.Seek(-most, 2)
	}
	buf := make([]byte, most)
	n, _ := file.Read(buf)
	return fmt.Sprintf("the end of %s:\n%s", path, strings.TrimSpace(string(buf[:n])))
}
