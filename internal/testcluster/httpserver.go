package testcluster

import "os"

// HTTPServer is who reads requests in all servers that a test starts, as a value of
// http_config.server: what HOLDFAST_TEST_HTTP_SERVER says. "" leaves it to the server.
//
// A test that starts its servers without this package asks here, too.
func HTTPServer() string { return os.Getenv("HOLDFAST_TEST_HTTP_SERVER") }

// HTTPServerEnv is what tells a server's process so: nothing, or one variable.
func HTTPServerEnv() []string {
	if server := HTTPServer(); server != "" {
		return []string{"HOLDFAST_HTTP_CONFIG_SERVER=" + server}
	}
	return nil
}
