// Command container-check reads a Dockerfile, a build context and a compose file with the code that
// Docker itself reads them with: BuildKit's frontend and compose-go. It needs no Docker engine and
// asks no registry.
//
//	container-check dockerfile FILE   what `docker build --check` finds, one finding a line
//	container-check context FOLDER    the files that `docker build FOLDER` sends, one a line
//	container-check compose FILE      the project as `docker compose config` sees it, as JSON
//
// Exit code 1: something was found, and stands on stderr; 2: wrong usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

func main() {
	commands := map[string]func(string) error{
		"dockerfile": checkDockerfile, "context": listContext, "compose": loadCompose,
	}
	if len(os.Args) != 3 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: container-check dockerfile FILE | context FOLDER | compose FILE")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// anyImage stands for a registry: all images exist, and nothing is known of them.
type anyImage struct{}

func (anyImage) ResolveImageConfig(_ context.Context, reference string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config, err := json.Marshal(ocispecs.Image{Platform: platforms.DefaultSpec()})
	return reference, digest.FromBytes(config), config, err
}

func checkDockerfile(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	platform := platforms.DefaultSpec()
	local := llb.Local("context")
	source := llb.NewSourceMap(nil, filepath.Base(file), "Dockerfile", text)
	source.Definition = &llb.Definition{} // of what is built, for messages of a daemon
	found, err := dockerfile2llb.DockerfileLint(context.Background(), text, dockerfile2llb.ConvertOpt{
		Config:         dockerui.Config{BuildPlatforms: []ocispecs.Platform{platform}},
		MainContext:    &local,
		SourceMap:      source,
		TargetPlatform: &platform,
		MetaResolver:   anyImage{},
	})
	if err != nil {
		return err
	}
	if found.Error != nil {
		return errors.New(found.Error.Message)
	}
	for _, one := range found.Warnings {
		line := int32(0)
		if one.Location != nil && len(one.Location.Ranges) > 0 {
			line = one.Location.Ranges[0].Start.Line
		}
		err = errors.Join(err, fmt.Errorf("%s:%d: %s: %s", file, line, one.RuleName, one.Detail))
	}
	return err
}

// ignored returns the patterns of the folder's .dockerignore.
func ignored(folder string) ([]string, error) {
	file, err := os.Open(filepath.Join(folder, ".dockerignore"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return ignorefile.ReadAll(file)
}

func listContext(folder string) error {
	patterns, err := ignored(folder)
	if err != nil {
		return err
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		inside, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		left, err := matcher.MatchesOrParentMatches(inside)
		if err == nil && !left {
			fmt.Println(filepath.ToSlash(inside))
		}
		return err
	})
}

func loadCompose(file string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithOsEnv, cli.WithDotEnv)
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	text, err := project.MarshalJSON()
	if err == nil {
		fmt.Println(string(text))
	}
	return err
}
