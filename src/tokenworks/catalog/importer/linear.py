"""Linear mixers: parameters of one layer and the state that one sequence keeps in it."""

from __future__ import annotations

from dataclasses import dataclass

from tokenworks.catalog.importer.config import Config

STATE_BYTES = 4  # recurrent states are kept in 32 bits by every engine (mamba_ssm_dtype float32)
CONV_BYTES = 2  # the short convolution's inputs in 16


@dataclass(frozen=True)
class LinearMixer:
    kind: str
    heads: int
    key_dim: int
    value_dim: int
    parameters: int  # of one layer
    state_bytes: int  # of one layer and sequence


def linear_mixer(config: Config) -> LinearMixer:
    """Mamba-2 (arXiv 2405.21060) or Gated DeltaNet (arXiv 2412.06464), by the keys of the file."""
    return mamba_2(config) if config.get("mamba_num_heads") else gated_deltanet(config)


def mamba_2(config: Config) -> LinearMixer:
    hidden, heads = config.need("hidden_size"), config.need("mamba_num_heads")
    width, state, groups = config.need("mamba_head_dim"), config.need("ssm_state_size"), config.need("n_groups")
    inner, shared = heads * width, 2 * groups * state
    projections = hidden * (2 * inner + shared + heads) + inner * hidden
    states = inner * state * STATE_BYTES + (inner + shared) * config.need("conv_kernel") * CONV_BYTES
    return LinearMixer("mamba-2", heads, state, width, projections, states)


def gated_deltanet(config: Config) -> LinearMixer:
    hidden, heads = config.need("hidden_size"), config.need("linear_num_value_heads")
    key_dim, value_dim = config.need("linear_key_head_dim"), config.need("linear_value_head_dim")
    keys, values = config.need("linear_num_key_heads") * key_dim, heads * value_dim
    projections = hidden * (2 * keys + 2 * values + 2 * heads) + values * hidden
    conv = (2 * keys + values) * config.need("linear_conv_kernel_dim") * CONV_BYTES
    return LinearMixer(
        "gated-deltanet", heads, key_dim, value_dim, projections, heads * key_dim * value_dim * STATE_BYTES + conv
    )
