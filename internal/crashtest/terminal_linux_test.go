package crashtest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-kv/holdfast/internal/testcluster"
)

// terminal is the two ends of a pseudo-terminal: what is typed, and where it is read.
func terminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("NOT TESTED HERE: there are no pseudo-terminals on this system: %v", err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatalf("open a pseudo-terminal: %v", err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	return keyboard, screen
}

// typedRecover runs "holdfast operator recover" at a terminal, where keys are typed when
// it asks for them. It returns what it asked.
func typedRecover(t *testing.T, keys string, args ...string) (exitCode int, asked, stdout, stderr string) {
	t.Helper()
	keyboard, screen := terminal(t)
	cmd := exec.Command(testcluster.Binary(t), append([]string{"operator", "recover"}, args...)...)
	var out strings.Builder
	cmd.Stdin, cmd.Stdout = screen, &out
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var question strings.Builder
	for letter := make([]byte, 1); !strings.HasSuffix(question.String(), "Type it to go on: "); {
		if _, err := said.Read(letter); err != nil {
			t.Errorf("it does not ask: %q, %v", question.String(), err)
			break
		}
		question.Write(letter)
	}
	if _, err := io.WriteString(keyboard, keys); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(said)
	if err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), question.String(), out.String(), string(rest)
}

// TestRecoverAsks: at a terminal the last index is asked for; nothing is done unless it
// is typed.
func TestRecoverAsks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	c := testcluster.StartCluster(t, testcluster.ClusterOptions{})
	left := c.Followers()[0]
	left.Put("k", "v")
	if v, _ := left.Get("k"); v != "v" { // linearizable, so this server has it, not just a majority
		t.Fatalf("it has %q before anything happened", v)
	}
	for _, s := range c.Servers() {
		s.Kill9()
	}
	const endOfInput = "\x04" // Ctrl-D
	for _, keys := range []string{"\n", "1\n", "yes\n", endOfInput} {
		code, _, out, errOut := typedRecover(t, keys, "-recover", left.DataDir)
		if code == 0 || !strings.Contains(errOut, "nothing was changed: the last index is ") {
			t.Errorf("after %q: exit code %d, %q, %q", keys, code, out, errOut)
		}
	}
	_, question, _, _ := typedRecover(t, "\n", "-recover", left.DataDir)
	_, index, _ := strings.Cut(question, "The last index here is ")
	index, _, found := strings.Cut(index, ".")
	if !found || !strings.Contains(question, "Every server but this one is given up") {
		t.Fatalf("it asks %q", question)
	}
	refused(t, left, "the last index is "+index, "-recover", "-yes=1", left.DataDir)
	code, _, out, errOut := typedRecover(t, index+"\n", "-recover", left.DataDir)
	if code != 0 || !strings.Contains(out, "is the only one of its cluster from its next start on, with everything to index "+index) {
		t.Fatalf("exit code %d, %q, %q", code, out, errOut)
	}
	left.Start()
	if v, _ := left.Get("k"); v != "v" {
		t.Errorf("it has %q", v)
	}
}
