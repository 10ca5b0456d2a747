"""What a picture shows, in numbers of our own: principal components of the real images, and their classes.

Classes come from a quadratic discriminant on the components, fitted to the labelled real images: about 95 % right on
MNIST, and the same judge for every generation and policy. Knows no network.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

from provenance.recursion.models.images import Bytes, ImageSet

COMPONENTS = 32
MOST_FITTED = 20_000


class Eye:
    """Looks at images; learned once from the real ones."""

    def __init__(self, data: ImageSet) -> None:
        images, classes = _flat(data.images[:MOST_FITTED]), data.classes[:MOST_FITTED]
        self._components = PCA(min(COMPONENTS, images.shape[1] // 2), random_state=0).fit(images)
        # The shrinkage keeps classes with few images from having flat covariances.
        self._judge = QuadraticDiscriminantAnalysis(reg_param=0.05).fit(self._components.transform(images), classes)

    def features(self, images: Bytes) -> NDArray[np.float64]:
        """float64 (n, components), pixels counted from 0 to 1."""
        if len(images) == 0:
            return np.empty((0, self._components.n_components_))
        found: NDArray[np.float64] = self._components.transform(_flat(images))
        return found

    def classes(self, images: Bytes) -> NDArray[np.int64]:
        """The class of each image."""
        if len(images) == 0:
            return np.empty(0, dtype=np.int64)
        return np.asarray(self._judge.predict(self.features(images)), dtype=np.int64)


def _flat(images: Bytes) -> NDArray[np.float64]:
    return images.reshape(len(images), -1).astype(np.float64) / 255
