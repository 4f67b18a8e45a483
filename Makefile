# `sam build` calls this file once per function (BuildMethod: makefile). The first call compiles all functions
# in one build, so that shared code is compiled once.
#
#   ARCH=x86_64 sam build    for x86_64 processors (deploy with Architecture=x86_64)
#   PROFILE=dev sam build    a quick build without optimization

ARCH ?= arm64
PROFILE ?= release

BUILT = target/lambda
# By package, so that features used only by tests and cargo portal stay out of the functions.
PACKAGES = $(patsubst functions/%/Cargo.toml,-p vestibule-%,$(wildcard functions/*/Cargo.toml))

# For the release profile only: panics unwind in the others.
LINK = RUSTFLAGS="$(RUSTFLAGS) -C link-arg=-T$(CURDIR)/infra/no-unwind-tables.ld"

# Without it, the first random number of a new container takes about 50 ms of CPU.
export AWS_LC_SYS_NO_JITTER_ENTROPY = 1

# Reports errors in policy files (file, line and field) before they are deployed.
.PHONY: policies
policies:
	cargo run --locked --quiet -p vestibule-domain --example check-policies -- infra/portals

.PHONY: compile
compile: policies
	$(if $(filter release,$(PROFILE)),$(LINK)) cargo lambda build --locked --profile $(PROFILE) $(if $(filter arm64,$(ARCH)),--arm64,--x86-64) --lambda-dir $(BUILT) $(PACKAGES) --bins

# Builds what measure_cold_start (tests/examples) measures, for this machine's processor.
.PHONY: bench-binaries
bench-binaries:
	$(LINK) cargo build --locked --release $(PACKAGES) -p vestibule-http -p vestibule-secrets --bins --example hello --example hello_aws --example argon2id

# SignInFunction is the binary sign-in. The policy files are next to it.
build-%Function: compile
	mkdir -p "$(ARTIFACTS_DIR)/portals"
	cp $(BUILT)/$(shell echo $* | sed -E 's/([a-z])([A-Z])/\1-\2/g' | tr 'A-Z' 'a-z')/bootstrap "$(ARTIFACTS_DIR)/"
	cp infra/portals/*.toml "$(ARTIFACTS_DIR)/portals/"
