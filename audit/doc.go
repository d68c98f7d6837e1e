// Package audit writes down who did what to a server, so that it can be told later,
// and told whether somebody has changed the tale.
//
// It owns the lines, the chain that ties them together, the queue in front of the
// device, the files and their rotation, and the check of all that. It does not own
// what is worth a line: package httpapi says that.
//
// A line is a JSON object. Its first field, n, counts the lines; its last two are prev,
// the hash of the line before, and hash, the SHA-256 of everything in front of it in
// this line. So a line that was changed does not fit its own hash, and one that was
// taken out, put in or made anew does not fit its neighbours. The chain goes on over
// rotation and restart: the first line of a file has the last hash of the file before.
// Whoever can write all files from some line on can still write another tale from
// there; against that helps only a copy of the last hash elsewhere, and of the end
// that was cut off nothing is left in what remains.
//
// The way through it: [Open] finds the end of the chain, [Log.Run] is the one writer,
// [Log.Note] leaves a line to be written soon, [Log.Commit] waits until it is. [Verify]
// reads files back.
//
// When the device fails, one of two things holds, as the configuration says. Either
// there is no change without its line: Commit is called before something is done and
// fails, and whoever called it does not do it. Or the server goes on: what waits is
// kept as long as there is room, what does not fit is lost, and a line says how many
// were when the device works again.
//
// A line can only be certain to come before the deed. So with the first choice there
// are two: an intent, which is on the device before anything happens, and another
// with the result. An intent without a result was under way when the server ended, or
// its result could not be written.
//
// Invariants: lines are numbered without gaps; a line is written whole or not at all,
// but for one that a crash cut short, which the next line admits; only Run touches the
// device and the chain.
//
// Why not sign the lines, or encrypt them: the key would be on the same machine.
package audit
