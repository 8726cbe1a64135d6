//go:build !race

package schedules_test

const raced = 1
