# `sam build` runs this file once per function (BuildMethod: makefile). The first run compiles all functions in one build
# of the workspace, so shared crates are compiled only once. The other runs find everything up to date.
#
#   ARCH=x86_64 sam build    builds for x86_64; deploy with Architecture=x86_64
#   PROFILE=dev sam build    builds quickly without optimization, for testing

ARCH ?= arm64
PROFILE ?= release

BUILT = target/lambda
# Select packages, so that features used only by the tests and cargo portal are not compiled into the functions.
PACKAGES = $(patsubst functions/%/Cargo.toml,-p vestibule-%,$(wildcard functions/*/Cargo.toml))

# Only for the release profile: in other profiles, panics unwind.
LINK = RUSTFLAGS="$(RUSTFLAGS) -C link-arg=-T$(CURDIR)/infra/no-unwind-tables.ld"

# Without this, the first random number in a container takes about 50 ms of CPU (docs/performance.md).
export AWS_LC_SYS_NO_JITTER_ENTROPY = 1

# Reports an invalid policy by file, line and field at build time, before a function has to return errors for its portal.
.PHONY: policies
policies:
	cargo run --locked --quiet -p vestibule-domain --example check-policies -- infra/portals

.PHONY: compile
compile: policies
	$(if $(filter release,$(PROFILE)),$(LINK)) cargo lambda build --locked --profile $(PROFILE) $(if $(filter arm64,$(ARCH)),--arm64,--x86-64) --lambda-dir $(BUILT) $(PACKAGES) --bins

# Builds what measure_cold_start (tests/examples) measures, for this machine's own architecture.
.PHONY: bench-binaries
bench-binaries:
	$(LINK) cargo build --locked --release $(PACKAGES) -p vestibule-http -p vestibule-secrets --bins --example hello --example hello_aws --example argon2id

# SignInFunction is the binary sign-in. The policies are bundled with it.
build-%Function: compile
	mkdir -p "$(ARTIFACTS_DIR)/portals"
	cp $(BUILT)/$(shell echo $* | sed -E 's/([a-z])([A-Z])/\1-\2/g' | tr 'A-Z' 'a-z')/bootstrap "$(ARTIFACTS_DIR)/"
	cp infra/portals/*.toml "$(ARTIFACTS_DIR)/portals/"
