// addons is what a bare control plane lacks, in one static binary: cluster DNS
// (CoreDNS with the plugins its Corefile names, and no others), an image
// registry, a dynamic provisioner of local volumes, a NetworkPolicy enforcer
// and an Ingress controller.
package main

import (
	"os"
	"path/filepath"

	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name == "addons" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	os.Args = append([]string{name}, args...)
	switch name {
	case "coredns":
		coremain.Run()
	case "registry":
		if registry.RootCmd.Execute() != nil {
			os.Exit(1)
		}
	case "provisioner":
		provisioner(args)
	case "ingress":
		ingress(args)
	case "netpol":
		netpol(args)
	default:
		os.Stderr.WriteString("usage: addons coredns|registry|provisioner|netpol|ingress [flags]\n")
		os.Exit(2)
	}
}
