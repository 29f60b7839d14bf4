# rt: build it, run it, test it. `make help` lists what there is.
.DEFAULT_GOAL := help
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin

PREFIX  ?= /usr/local
RUNTIME ?= target/release/rt
SUDO    := $(if $(filter 0,$(shell id -u)),,sudo)
NEED    := ./integration/need.sh

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: export RT_COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
build: ## The static binary target/release/rt
	@$(NEED) gcc libc6-dev
	cargo build --release --locked

rootfs: ## The root file system of the examples, from Debian's busybox-static
	@$(NEED) busybox-static
	@spec-examples/rootfs.sh

run: build rootfs ## Watch a container live and die
	@$(SUDO) spec-examples/run.sh hello

examples: build rootfs ## Run every example and compare what it prints with what it should
	@$(NEED) busybox-static iproute2 procps uidmap util-linux
	@RUNTIME=$(RUNTIME) spec-examples/check.sh

unit: ## The tests beside the code
	@$(NEED) gcc libc6-dev libseccomp-dev
	cargo test --locked --bin rt

integration: build ## The end-to-end tests; RUNTIME=crun or runc runs them against another
	@$(NEED) gcc libc6-dev busybox-static iproute2 iptables procps uidmap util-linux $(filter crun runc,$(RUNTIME))
	@integration/criu.sh
	RUNTIME=$(RUNTIME) integration/run.sh $(TEST)

spec-coverage: ## That docs/spec-coverage/ quotes every MUST; SPEC=DIR is a checkout of the runtime spec
	@$(NEED) python3
	@integration/spec-musts.py $(or $(SPEC),$(error SPEC=DIR: a checkout of github.com/opencontainers/runtime-spec, v1.3.0))

MANAGERS := podman buildah docker.io containerd containernetworking-plugins conmon crun runc netavark aardvark-dns \
    slirp4netns fuse-overlayfs uidmap catatonit tini iptables python3 python3-grpcio

test-vm: build ## The end-to-end tests in guests: cgroup v2, rootless, AppArmor, SELinux; RUNTIME as above
	@$(NEED) gcc libc6-dev libseccomp-dev e2fsprogs
	@RUNTIME=$(RUNTIME) integration/vm/test.sh $(MODE)

test-systemd-v1: build ## The end-to-end tests with --systemd-cgroup on cgroup v1 alone and on a hybrid tree; TEST as above
	@$(NEED) gcc libc6-dev busybox-static iproute2 iptables procps uidmap util-linux systemd
	@integration/criu.sh
	RT_MODE=systemd CGROUP_VIEW=v1 RUNTIME=$(RUNTIME) integration/run.sh $(TEST)
	RT_MODE=systemd CGROUP_VIEW=host RUNTIME=$(RUNTIME) integration/run.sh $(TEST)

conformance: build ## The programs of a built runtime-tools, RUNTIME_TOOLS=DIR; VIEW=v1, v2 or selinux for one view
	@$(NEED) busybox-static iproute2 procps util-linux gcc libc6-dev libseccomp-dev e2fsprogs
	@RUNTIME=$(RUNTIME) RUNTIME_TOOLS=$(or $(RUNTIME_TOOLS),$(error RUNTIME_TOOLS=DIR: see docs/conformance.md)) integration/conformance/run.sh $(VIEW)

test-managers: build ## podman, buildah, Docker, Swarm, containerd and its pods over rt
	@$(NEED) busybox-static iproute2 procps util-linux $(MANAGERS)
	@integration/criu.sh
	@integration/newer.sh trixie containerd
	@integration/newer.sh sid containerd
	@RUNTIME=$(RUNTIME) integration/managers/all.sh $(MANAGER)

managers: test-managers

test: unit examples test-managers integration test-vm ## Everything

bench-seccomp: ## Instructions, compile and load time of Docker's and podman's profiles
	@$(NEED) gcc libc6-dev libseccomp-dev
	@cargo test --quiet --locked --release --bin rt -- --ignored --nocapture --test-threads 1 bench_seccomp

PROFILES ?= 9000
seccomp-oracle: ## Our filters against libseccomp's, on PROFILES=9000 random profiles and the known ones
	@$(NEED) gcc libc6-dev libseccomp-dev
	@RT_SECCOMP_PROFILES=$(PROFILES) cargo test --quiet --locked --bin rt -- --nocapture plan::seccomp::oracle

bench: build rootfs ## rt beside crun and runc, interleaved
	@$(NEED) busybox-static crun runc strace python3
	@$(SUDO) integration/bench/bench.py

order: ## Write .cargo/order anew: which functions usual calls run, for .cargo/order-cc
	@$(NEED) gcc libc6-dev busybox-static python3
	cargo build --release --locked --config profile.release.strip=false --target-dir target/order
	@$(SUDO) integration/bench/order.py target/order/release/rt > target/order/order
	@mv target/order/order .cargo/order
	@touch src/main.rs   # cargo does not look at .cargo/order

lint: ## clippy, every warning an error
	@$(NEED) gcc libc6-dev libseccomp-dev
	cargo clippy --locked --all-targets --test integration -- -D warnings

manual: ## Write docs/man and docs/completions anew, from the command line as it is declared
	@$(NEED) gcc libc6-dev libseccomp-dev
	@RT_WRITE_MANUAL=1 cargo test --quiet --locked --bin rt manual

fmt: ## Format the code
	cargo fmt

CONF := $(DESTDIR)/etc/containers/containers.conf.d/50-rt.conf
SHARE := $(DESTDIR)$(PREFIX)/share
DOC  := $(SHARE)/doc/rt
BASH_COMPLETION := $(SHARE)/bash-completion/completions/rt
ZSH_COMPLETION  := $(SHARE)/zsh/site-functions/_rt
FISH_COMPLETION := $(SHARE)/fish/vendor_completions.d/rt.fish

install: build ## To $(PREFIX)/bin, with manual and completions, and rt made known to podman; PREFIX and DESTDIR as usual
	$(SUDO) install -D -m 755 target/release/rt $(DESTDIR)$(PREFIX)/bin/rt
	$(SUDO) install -D -m 644 -t $(SHARE)/man/man8 docs/man/*.8
	$(SUDO) install -D -m 644 docs/completions/rt.bash $(BASH_COMPLETION)
	$(SUDO) install -D -m 644 docs/completions/_rt $(ZSH_COMPLETION)
	$(SUDO) install -D -m 644 docs/completions/rt.fish $(FISH_COMPLETION)
	$(SUDO) install -d $(DOC) $(dir $(CONF))
	sed 's|@BINDIR@|$(PREFIX)/bin|' docs/drop-ins/containers.conf | $(SUDO) tee $(CONF) > /dev/null
	for file in daemon.json containerd.toml containerd-2.toml; do sed 's|@BINDIR@|$(PREFIX)/bin|' docs/drop-ins/$$file | $(SUDO) tee $(DOC)/$$file > /dev/null; done

uninstall: ## Take it away again
	$(SUDO) rm -f $(DESTDIR)$(PREFIX)/bin/rt $(CONF) $(BASH_COMPLETION) $(ZSH_COMPLETION) $(FISH_COMPLETION)
	$(SUDO) rm -f $(SHARE)/man/man8/rt.8 $(patsubst docs/man/%,$(SHARE)/man/man8/%,$(wildcard docs/man/rt-*.8))
	$(SUDO) rm -rf $(DOC)

clean: ## Remove what was built
	cargo clean
	rm -rf spec-examples/rootfs

.PHONY: help manual seccomp-oracle build rootfs run examples unit integration spec-coverage test-vm test-systemd-v1 conformance test-managers managers test bench bench-seccomp order lint fmt install uninstall clean
