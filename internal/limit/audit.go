package limit

import "time"

const (
	// AuditQueueBytes is how much may wait to be written to the audit log. More is
	// lost, and counted, where the server goes on without the log.
	AuditQueueBytes = 16 << 20

	// AuditBatchBytes is how much is written to the audit log at once.
	AuditBatchBytes = 1 << 20

	// AuditLineBytes is the longest line that a check of an audit log reads. A
	// transaction with the longest names stays well below.
	AuditLineBytes = 4 << 20

	// AuditNameBytes is how much of the name of a key an audit line shows; of a
	// longer one it has the hash too.
	AuditNameBytes = 2 << 10

	// AuditOps is how many operations one audit line tells of before no more are added;
	// those of one command are always told together.
	AuditOps = 1024

	// AuditMethodBytes is how much of the method of a request an audit line shows.
	AuditMethodBytes = 32

	// AuditSyslogBytes is from how many bytes on an event is told in several lines when
	// they go to the system's log: daemons cut messages off, commonly at 8 KiB with what
	// they put in front.
	AuditSyslogBytes = 7 << 10

	// AuditSyslogTime is how long the system's log may take to accept what is written at
	// once, before it counts as one that does not work.
	AuditSyslogTime = 5 * time.Second

	// AuditRetry is how long an audit log that could not be written is left alone
	// before the next attempt.
	AuditRetry = time.Second
)
