package logstore

import (
	"fmt"
	"runtime/debug"
)

// guard runs f, which calls a library on files that may be damaged, and turns a
// panic there into an error; reading a mapped file beyond its end included,
// which would otherwise end the process.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = &guardedError{v}
		}
	}()
	return f()
}

// guardedError is a panic that guard met.
type guardedError struct{ value any }

func (e *guardedError) Error() string { return fmt.Sprintf("unreadable (%v)", e.value) }
