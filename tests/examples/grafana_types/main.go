// Holds dashboards against Grafana's own types: prints each complaint, and nothing when all is well.
//
// The types are those that Grafana generates from its schemas, panels' options and queries included.
// A field that Grafana does not know, or of another type, is a complaint.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	for _, file := range os.Args[1:] {
		text, err := os.ReadFile(file)
		if err != nil {
			fmt.Println(err)
			continue
		}
		one := dashboard.NewDashboard()
		complain(file, one.UnmarshalJSONStrict(text))
		complain(file, one.Validate())
	}
}

func complain(file string, err error) {
	// What decodes panels may return a list of errors that is not nil and has none in it.
	if err != nil && err.Error() != "" {
		fmt.Printf("%s: %s\n", file, err)
	}
}
