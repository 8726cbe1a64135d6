package drivertest

import "time"

// Patience shortens the time after which a check gives up waiting. It is for mutants that are
// caught that way.
func Patience(d time.Duration) Option { return func(c *config) { c.patience = d } }

// Checks lists all checks, as "Topic/Check".
func Checks() (names []string) {
	for _, topic := range topics {
		for _, check := range topic.checks {
			names = append(names, topic.name+"/"+check.name)
		}
	}
	return names
}
