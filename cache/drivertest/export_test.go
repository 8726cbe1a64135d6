package drivertest

import "time"

// Patience shortens the wait of mutants that a check catches by waiting in vain.
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
