"""The convolutional encoder that recognizers begin with: plain 3x3 convolutions, some of them strided."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from recognizer.models.layers import ResidualConv, ScaledConv, size_mask


class ConvEncoder(nn.Module):
    """(B, 1, H, W) -> (B, C, H / stride, W / stride), in stages of one strided convolution and some residual blocks.

    Args:
        channels: of each stage.
        strides: of each stage; `stride` is their product.
        blocks: residual blocks of each stage.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[tuple[int, int]], blocks: Sequence[int]) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.downs, self.stages = nn.ModuleList(), nn.ModuleList()
        previous = 1
        for channel, count, stride in zip(channels, blocks, strides, strict=True):
            self.downs.append(ScaledConv(previous, channel, stride))
            self.stages.append(nn.ModuleList(ResidualConv(channel) for _ in range(count)))
            previous = channel

    def forward(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Features (B, C, h, w), zero outside of the pictures."""
        stride = (1, 1)
        mask = size_mask(sizes, images.shape[2], images.shape[3], stride)
        x = images * mask
        for i, (down, blocks, step) in enumerate(zip(self.downs, self.stages, self.strides, strict=True)):
            assert isinstance(blocks, nn.ModuleList)
            stride = stride[0] * step[0], stride[1] * step[1]
            x = down(x.relu() if i else x)
            mask = size_mask(sizes, x.shape[2], x.shape[3], stride)
            x = x * mask
            for block in blocks:
                x = block(x, mask)
        return x.relu()


class CellEncoder(ConvEncoder):
    """(B, 1, H, W) -> (B, width, H / 16, W / 8): half as wide as high, since a line of symbols is read across."""

    def __init__(self, stem: int, width: int, blocks: int = 1) -> None:
        channels, strides = [stem, 2 * stem, 4 * stem, width], [(2, 2), (2, 2), (2, 2), (2, 1)]
        super().__init__(channels, strides, [0, 0, blocks, blocks])
