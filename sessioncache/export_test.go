package sessioncache

// Decode, NewRecord and the alias give black-box tests access to parts that only Default uses.
var (
	Decode    = decode
	NewRecord = newRecord
)

// Record is record.
type Record = record

// SetToken is setToken.
func (r *record) SetToken(token string) { r.setToken(token) }
