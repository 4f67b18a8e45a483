# `sam build` runs this file once per function (BuildMethod: makefile). The first run compiles all functions in one build
# of the workspace, so shared crates are compiled only once. The other runs find everything up to date.
#
#   ARCH=x86_64 sam build    builds for x86_64, and remembers it in $(DEPLOYMENT)
#   PROFILE=dev sam build    builds quickly without optimization, for testing
#
# The folder `deployment` belongs to the operator (docs/operations.md): the answers of `sam deploy --guided`, one file
# per installation, and the policies. Git ignores it, so an upgrade never conflicts with it.

DEPLOYMENT ?= deployment
ANSWERS = $(wildcard $(DEPLOYMENT)/*.toml)
PORTALS ?= $(firstword $(wildcard $(DEPLOYMENT)/portals) infra/portals)
PROFILE ?= release

# The architecture that the installations run. Functions built for another one can't start.
DEPLOYED := $(if $(ANSWERS),$(shell sed -nE 's/.*Architecture=[\"]*(arm64|x86_64).*/\1/p' $(ANSWERS) | sort -u))
ARCH ?= $(or $(DEPLOYED),arm64)
ifneq ($(filter-out arm64 x86_64,$(ARCH)),)
$(error ARCH=$(ARCH) must be arm64 or x86_64)
endif
ifneq ($(filter-out $(ARCH),$(DEPLOYED)),)
$(error ARCH is $(ARCH), but the installations in $(DEPLOYMENT) run $(DEPLOYED). Set the same Architecture in $(ANSWERS))
endif

TARGET = $(if $(filter arm64,$(ARCH)),aarch64,x86_64)-unknown-linux-gnu
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
	cargo run --locked --quiet -p vestibule-domain --example check-policies -- $(PORTALS)

# Without this check, cargo-lambda would download the target, or fail without naming the other architecture.
.PHONY: target
target:
	@test -d "$$(rustc --print sysroot)/lib/rustlib/$(TARGET)/lib" || { \
	  echo 'The Rust target $(TARGET) is missing. Install it with "rustup target add $(TARGET)", or build for' \
	    '$(if $(filter arm64,$(ARCH)),x86_64 with "ARCH=x86_64 sam build",arm64 with "ARCH=arm64 sam build").' >&2; exit 1; }

# `sam build` shows what is written to standard output, so Cargo's progress goes there.
.PHONY: compile
compile: target policies
	@echo 'Compiling all functions for $(ARCH) ($(PROFILE)). The first time takes up to half an hour on two cores.'
	$(if $(filter release,$(PROFILE)),$(LINK)) cargo lambda build --locked --profile $(PROFILE) $(if $(filter arm64,$(ARCH)),--arm64,--x86-64) --lambda-dir $(BUILT) $(PACKAGES) --bins 2>&1
	$(if $(ANSWERS),,$(remember))

# The first deployment suggests the architecture that was built.
define remember
mkdir -p $(DEPLOYMENT) && { cat samconfig.toml; echo 'parameter_overrides = "Architecture=\"$(ARCH)\""'; } > $(DEPLOYMENT)/production.toml
endef

# Builds what measure_cold_start (tests/examples) measures, for this machine's own architecture.
.PHONY: bench-binaries
bench-binaries:
	$(LINK) cargo build --locked --release $(PACKAGES) -p vestibule-http -p vestibule-secrets --bins --example hello --example hello_aws --example argon2id

# SignInFunction is the binary sign-in. The policies are bundled with it.
build-%Function: compile
	mkdir -p "$(ARTIFACTS_DIR)/portals"
	cp $(BUILT)/$(shell echo $* | sed -E 's/([a-z])([A-Z])/\1-\2/g' | tr 'A-Z' 'a-z')/bootstrap "$(ARTIFACTS_DIR)/"
	cp $(PORTALS)/*.toml "$(ARTIFACTS_DIR)/portals/"
