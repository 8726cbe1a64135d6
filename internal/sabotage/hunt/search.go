package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/fxcache/fxcache/internal/sabotage"
)

// The folders of the checkers, from the root of the repository.
const (
	schedules  = "internal/schedules"
	soak       = "internal/checker" // where there is one
	onBigcache = "strategies/bigcache"
	onRedis    = "strategies/redis"
	ofSessions = "sessioncache"
)

// search is one test binary, and what it shall run.
type search struct {
	folder string
	args   []string
}

// searches are those for one guard, or, for none, all that must find nothing. The race that a guard stands
// against comes first, then all races, the conformance suites, and what clients see in a minute of faults.
func searches(guard sabotage.Guard) []search {
	races := search{schedules, nil}
	if guard == "" {
		return []search{races}
	}
	return []search{
		{schedules, []string{"-test.run", race(guard)}},
		races,
		{onBigcache, []string{"-test.run", "^TestConformance$"}},
		{onRedis, []string{"-test.run", "^TestStandalone$"}},
		{ofSessions, nil},
		{soak, []string{"-test.run", "^TestNemesis$", "-seconds", "20"}},
	}
}

// race is the schedule that a guard stands against.
func race(guard sabotage.Guard) string {
	switch guard {
	case sabotage.Fence:
		return "^TestLearnedTagRacingDeleteUser$"
	case sabotage.FenceClear:
		return "^TestEarlyInvalidation$"
	case sabotage.Lease:
		return "^TestPausedLeaseHolder$"
	case sabotage.LeaseToken:
		return "^TestStoppedHolder$"
	case sabotage.DeleteEndsLease, sabotage.SetEndsLease, sabotage.InvalidateNotesLedger, sabotage.LedgerBucket, sabotage.LedgerEpoch:
		return "^TestLateFrame$"
	case sabotage.Nonce, sabotage.NonceRandomness:
		return "^TestStaleFillOnRedis$"
	case sabotage.UpdateDeletes:
		return "^TestUpdateRacingRevoke$"
	case sabotage.HideRefusedSet:
		return "^TestRefusedSet$"
	case sabotage.DeadlineCancellation:
		return "^TestLateSet$"
	case sabotage.RevocationError, sabotage.OwedRetry, sabotage.DrainBeforeServe, sabotage.BreakerBypass:
		return "^TestOutage$"
	case sabotage.TTLCap, sabotage.SoftExpiry, sabotage.ExpiredSession, sabotage.TokenMismatch:
		return "^TestSessionClocks$"
	default:
		return "^TestStaleFill$"
	}
}

// binaries are the test binaries by folder, built with the tag.
type binaries map[string]string

func build(ctx context.Context, into string) (binaries, error) {
	if _, err := os.Stat("go.mod"); err != nil {
		return nil, fmt.Errorf("run it in the root of the repository: %w", err)
	}
	built := binaries{}
	for _, folder := range []string{schedules, soak, onBigcache, onRedis, ofSessions} {
		if _, err := os.Stat(folder); folder == soak && err != nil {
			continue
		}
		path := filepath.Join(into, strings.ReplaceAll(folder, "/", "-")+".test")
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "sabotage", "-o", path, ".") //nolint:gosec // the folders are above
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", folder, err, out)
		}
		built[folder] = path
	}
	return built, nil
}

// finding is a violation that was found.
type finding struct{ by, after, text string }

// try runs a search. It finds something, or nothing, or an error says that it is no search.
func (b binaries) try(ctx context.Context, s search, guard sabotage.Guard, limit time.Duration) (*finding, time.Duration, error) {
	path, ok := b[s.folder]
	if !ok {
		return nil, 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// The test binary ends by itself before it is killed, and says where it hung.
	args := append([]string{"-test.timeout", (limit * 9 / 10).String()}, s.args...)
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // built above
	cmd.Dir = s.folder
	// CI=true: a test that cannot run, for want of a redis-server, fails.
	cmd.Env = append(os.Environ(), "CI=true", sabotage.Variable+"="+string(guard))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err == nil {
		return nil, took, nil
	}
	if found := judge(s, out.String()); found != nil {
		return found, took, nil
	}
	if ctx.Err() != nil {
		err = errors.Join(err, ctx.Err())
	}
	return nil, took, fmt.Errorf("%s %s: %w\n%s", s.folder, strings.Join(s.args, " "), err, tail(out.String()))
}

var (
	ofSchedule = regexp.MustCompile(`violation: schedule (.+) #(\d+) \(seed \d+\): .*`)
	ofSoak     = regexp.MustCompile(`found after (\d+) operations`)
	ofTest     = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
)

// judge takes the finding out of what a test binary printed, nil where it broke otherwise. A test is
// named by its innermost part.
func judge(s search, text string) *finding {
	if match := ofSchedule.FindStringSubmatch(text); s.folder == schedules {
		if match == nil {
			return nil
		}
		return &finding{by: "schedule " + match[1], after: match[2] + " schedules", text: match[0]}
	}
	if match := ofSoak.FindStringSubmatch(text); s.folder == soak {
		if match == nil {
			return nil
		}
		return &finding{by: soak, after: match[1] + " operations", text: match[0]}
	}
	failed := ofTest.FindAllStringSubmatch(text, -1)
	if failed == nil {
		return nil
	}
	name := failed[0][1]
	for _, match := range failed {
		if strings.HasPrefix(match[1], name+"/") {
			name = match[1]
		}
	}
	return &finding{by: s.folder + " " + name, after: "1 test", text: text}
}

// tail is the end of what a test binary printed.
func tail(text string) string {
	const lines = 30
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
