package redis

import (
	"context"
	"slices"
	"testing"

	"github.com/redis/rueidis"
)

// pipes is a client that only records how long its pipelines are.
type pipes struct {
	rueidis.Client

	lengths []int
}

func (p *pipes) DoMulti(_ context.Context, commands ...rueidis.Completed) []rueidis.RedisResult {
	p.lengths = append(p.lengths, len(commands))
	return make([]rueidis.RedisResult, len(commands))
}

// However many commands there are, no more than perPipeline are sent at once, and each has a reply.
func TestPipelineIsBounded(t *testing.T) {
	t.Parallel()
	for commands, want := range map[int][]int{
		0: nil, 1: {1}, perPipeline: {perPipeline}, 2*perPipeline + 1: {perPipeline, perPipeline, 1},
	} {
		p := &pipes{}
		replies := pipeline(t.Context(), p, make([]rueidis.Completed, commands))
		if len(replies) != commands || !slices.Equal(p.lengths, want) {
			t.Errorf("%d commands: %d replies, pipelines of %d, want %d", commands, len(replies), p.lengths, want)
		}
	}
}
