package limit

const (
	// SecretKeyBytes is how long the key is that secrets of tokens are hashed with.
	SecretKeyBytes = 32

	// PolicyBytes is the longest text of one policy.
	PolicyBytes = 512 << 10

	// PolicyDepth is how deep blocks and lists may be nested in the text of a policy;
	// rules need three levels.
	PolicyDepth = 64

	// PatternStars is how many wildcards one label may have: it bounds what a
	// question costs.
	PatternStars = 8

	// PolicyWarnings is how many warnings one policy gets.
	PolicyWarnings = 16

	// VariableBytes is the longest value that a variable in a label may have.
	VariableBytes = 256
)
