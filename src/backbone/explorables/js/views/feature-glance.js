/** The feature microscope without its close-up: for a page that has room for a glance. */
import { microscope } from "../parts/microscope.js";

export const featureGlance = {
  name: "feature-glance",
  words: {
    en: {
      title: "Feature microscope: a trained network, running in this page",
      hint: "Try: draw, and watch the maps. Cut one connection, then all.",
    },
    zh: {
      title: "特征显微镜：一个训练好的网络，就在本页运行",
      hint: "试一试：动手画，观察特征图的变化。切断一条连接，再全部切断。",
    },
  },
  render: (context) => microscope(context),
};
