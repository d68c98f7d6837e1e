package cmd

import (
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-kv/holdfast/agent/config"
)

func newConfigCommand() *cobra.Command {
	return group("config", "Look into the configuration of a server", newConfigShowCommand())
}

func newConfigShowCommand() *cobra.Command {
	var flags config.Flags
	var explain bool
	c := &cobra.Command{
		Use:   "show [flags]",
		Short: "Show what a server would run with",
		Long: `Show what "holdfast agent" would run with, given the same flags, environment and files.
With -explain every setting comes with its source, its default and whether a reload of a
running server can change it. Secrets are hidden.

It takes all flags of "holdfast agent".`,
		Example: `  holdfast config show -dev
  holdfast config show -explain -config-dir /etc/holdfast.d
  holdfast config show -format json -data-dir /d -http-port 8600`,
		Annotations: exits(""),
		Args:        cobra.NoArgs,
	}
	c.Flags().BoolVar(&explain, "explain", false, "Show also where each value comes from, its default, and whether a reload can change it.")
	out := prints(c)
	flags.Register(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		chosen, err := out.chosen()
		if err != nil {
			return err
		}
		loaded, err := config.Load(config.Sources{Flags: &flags, Env: os.Environ()})
		var faults config.Faults
		if errors.As(err, &faults) {
			return invalid(out, chosen, faults)
		}
		if err != nil {
			return err
		}
		for _, w := range loaded.Warnings {
			c.PrintErrln("Warning: " + shown(w))
		}
		if explain {
			return out.print(loaded.Settings, func(w io.Writer) error { return columns(w, out.style(), explainRows(loaded.Settings)) })
		}
		if chosen == formatTable {
			return columns(c.OutOrStdout(), out.style(), valueRows(loaded.Settings))
		}
		values := make(map[string]string, len(loaded.Settings))
		for _, s := range loaded.Settings {
			values[s.Name] = s.Value
		}
		return out.print(values, nil)
	}
	return c
}

func valueRows(settings []config.Setting) [][]string {
	rows := [][]string{{"Setting", "Value"}}
	for _, s := range settings {
		rows = append(rows, []string{s.Name, cell(s.Value)})
	}
	return rows
}

func explainRows(settings []config.Setting) [][]string {
	rows := [][]string{{"Setting", "Value", "Source", "Default", "Reloadable"}}
	for _, s := range settings {
		reloadable := "no"
		switch {
		case s.Reloadable:
			reloadable = "yes"
		case s.Unused != "":
			reloadable = "not used yet"
		}
		rows = append(rows, []string{s.Name, cell(s.Value), shown(s.Source), cell(s.Default), reloadable})
	}
	return rows
}
